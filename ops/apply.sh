#!/bin/sh
# Applies plan.tgz, if it is the one that plan.txt names.
#
#     cd terraform/environments/ENVIRONMENT && ops/apply.sh STATE_BUCKET
set -eu
bucket=${1:?usage: ops/apply.sh STATE_BUCKET}

approved=$(head -n 1 plan.txt)
found=$(sha256sum plan.tgz)
if [ "$approved" != "$found" ]; then
  echo "plan.tgz is not the plan that plan.txt describes, so nothing is applied." >&2
  echo "the first line of plan.txt: $approved" >&2
  echo "the archive:                $found" >&2
  exit 1
fi

# Nothing else of the archive: code and providers come from the commit.
tar -xzf plan.tgz plan.tfplan .terraform/daybook-source.zip
terraform init -input=false -lockfile=readonly -backend-config=bucket="$bucket"
terraform apply -input=false -lock-timeout=5m plan.tfplan
