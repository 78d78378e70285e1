output "checker_service_account" {
  description = "E-mail address of the account that checks run under: of the trigger daybook-check."
  value       = google_service_account.checker.email
}

output "deployer_service_account" {
  description = "E-mail address of the account that applies: of the trigger daybook-apply, or what a workflow's job in the environment becomes."
  value       = google_service_account.deployer.email
}

output "init_command" {
  description = "How terraform/environment finds the state of an environment: ENVIRONMENT is staging or prod."
  value       = "terraform init -reconfigure -backend-config=bucket=${google_storage_bucket.state.name} -backend-config=prefix=daybook/ENVIRONMENT"
}

output "planner_service_account" {
  description = "E-mail address of the account that plans: of the trigger daybook-plan, or what a workflow becomes."
  value       = google_service_account.planner.email
}

output "state_bucket" {
  description = "Name of the bucket that holds the state."
  value       = google_storage_bucket.state.name
}

output "workload_identity_provider" {
  description = "What a GitHub workflow names to become the planner or the deployer. Null without github."
  value       = one(google_iam_workload_identity_pool_provider.default[*].name)
}
