# The bucket is the bootstrap's: terraform init -backend-config=bucket=PROJECT-daybook-state
terraform {
  backend "gcs" {
    prefix = "daybook/staging"
  }
}
