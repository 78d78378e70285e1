output "deployer_service_account" {
  description = "E-mail address of the account that plans and applies: of a Cloud Build trigger, or what a workflow becomes."
  value       = google_service_account.deployer.email
}

output "init_command" {
  description = "How an environment finds its state."
  value       = "terraform init -backend-config=bucket=${google_storage_bucket.state.name}"
}

output "state_bucket" {
  description = "Name of the bucket that holds the state."
  value       = google_storage_bucket.state.name
}

output "workload_identity_provider" {
  description = "What a GitHub workflow names to become the deployer. Null without github."
  value       = one(google_iam_workload_identity_pool_provider.default[*].name)
}
