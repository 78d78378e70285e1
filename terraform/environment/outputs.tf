output "dashboard_url" {
  description = "Address of the dashboard."
  value       = module.observability.dashboard_url
}

output "drive_access" {
  description = "What is left to be done in Google Workspace."
  value       = module.export_function.drive_access
}

output "egress_address" {
  description = "The address for MongoDB's allow-list. Null without static_egress."
  value       = module.export_function.egress_address
}

output "job_names" {
  description = "The scheduler jobs; gcloud scheduler jobs run NAME --location REGION runs one now."
  value       = module.export_function.job_names
}

output "ledger_url" {
  description = "Address of the ledger. Null without ledger_enabled."
  value       = module.export_function.ledger_url
}

output "page_address" {
  description = "The address that page_domain must lead to. Null without page_domain."
  value       = module.export_function.page_address
}

output "runtime_service_account" {
  description = "E-mail address of the account that the function runs as."
  value       = module.export_function.runtime_service_account
}

output "schedules" {
  description = "When the jobs run."
  value       = module.export_function.schedules
}

output "service_url" {
  description = "Address of the function."
  value       = module.export_function.service_url
}

output "todays_run_url" {
  description = "The function's log records of the last day."
  value       = module.observability.todays_run_url
}
