# The bucket is the bootstrap's own, so it does not exist at the first apply. That one keeps its
# state in this folder, and `terraform init -migrate-state` copies it into the bucket afterwards:
# docs/deploy.md, step 1. Only the project's owners may read or write it there.
terraform {
  backend "gcs" {
    prefix = "bootstrap"
  }
}
