#!/bin/sh
# Makes plan.tgz, which is applied, and plan.txt, which is read and approved. The first line of
# plan.txt is the SHA-256 of plan.tgz, as sha256sum prints it.
#
#     cd terraform/environment && ../../ops/plan.sh STATE_BUCKET ENVIRONMENT
set -eu
bucket=${1:?usage: ops/plan.sh STATE_BUCKET ENVIRONMENT}
environment=${2:?usage: ops/plan.sh STATE_BUCKET ENVIRONMENT}

# readonly: a provider that .terraform.lock.hcl does not name with a checksum is refused.
terraform init -input=false -lockfile=readonly -reconfigure \
  -backend-config=bucket="$bucket" -backend-config=prefix="daybook/$environment"
terraform plan -input=false -lock-timeout=5m -var-file="$environment.tfvars" -out=plan.tfplan
# The source's archive is made by the plan and uploaded by the apply.
tar -czf plan.tgz plan.tfplan .terraform/daybook-source.zip
sha256sum plan.tgz > plan.txt
terraform show -no-color plan.tfplan >> plan.txt
