#!/bin/sh
# Applies plan.tgz, if it is the one that plan.txt names.
#
#     cd terraform/environment && ../../ops/apply.sh STATE_BUCKET ENVIRONMENT
set -eu
bucket=${1:?usage: ops/apply.sh STATE_BUCKET ENVIRONMENT}
environment=${2:?usage: ops/apply.sh STATE_BUCKET ENVIRONMENT}

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
terraform init -input=false -lockfile=readonly -reconfigure \
  -backend-config=bucket="$bucket" -backend-config=prefix="daybook/$environment"
terraform apply -input=false -lock-timeout=5m plan.tfplan
