# Each environment has its own bucket, the bootstrap's, and its own prefix in it:
#
#     terraform init -reconfigure -backend-config=bucket=PROJECT-daybook-state \
#       -backend-config=prefix=daybook/ENVIRONMENT
terraform {
  backend "gcs" {}
}
