output "drive_access" {
  description = "What is left to be done in Google Workspace, as a sentence."
  value = (
    var.drive_subject == null
    ? "Add ${local.emails.run} to the shared drive as Contributor (Content manager also works; Daybook deletes nothing)."
    : "Allow client ${data.google_service_account.default["run"].unique_id} domain-wide delegation with the scope https://www.googleapis.com/auth/drive, and give ${var.drive_subject} the right to add files to the folder."
  )
}

output "egress_address" {
  description = "The address that all traffic comes from, for an allow-list. Null without static_egress."
  value       = one(google_compute_address.default[*].address)
}

output "environment_variables" {
  description = "Names of the function's environment variables, those from secrets included."
  value       = sort(concat(keys(local.environment), keys(var.secrets)))
}

output "function_name" {
  description = "Name of the function, and of its Cloud Run service: the service_name label of its logs and metrics."
  value       = google_cloudfunctions2_function.default.name
}

output "ingress" {
  description = "From where the functions can be reached; a health probe depends on it."
  value       = var.ingress
}

output "job_names" {
  description = "Names of the scheduler jobs: audit, batch, doctor, migrate, retry, sweep, watchdog, one batch-… for each other time of profiles, and one retry-… for each of profiles."
  value       = { for key, job in google_cloud_scheduler_job.default : key => job.name }
}

output "ledger_name" {
  description = "Name of the ledger's function. Null without ledger_enabled."
  value       = one(google_cloudfunctions2_function.ledger[*].name)
}

output "ledger_url" {
  description = "Address of the ledger. Null without ledger_enabled."
  value       = one([for function in google_cloudfunctions2_function.ledger : "https://${function.name}-${data.google_project.default.number}.${var.region}.run.app"])
}

output "page_address" {
  description = "The address that page_domain must lead to, as an A record. Null without page_domain."
  value       = one(google_compute_global_address.page[*].address)
}

output "paused" {
  description = "Whether the batch and its dead man's switch wait."
  value       = google_cloud_scheduler_job.default["batch"].paused && google_cloud_scheduler_job.default["watchdog"].paused
}

output "project_id" {
  description = "The project, once its services are enabled."
  value       = var.project_id
  depends_on  = [google_project_service.default]
}

output "queue_id" {
  description = "The Cloud Tasks queue: projects/P/locations/L/queues/Q."
  value       = google_cloud_tasks_queue.default.id
}

output "queue_name" {
  description = "Name of the Cloud Tasks queue: the queue_id label of its metrics."
  value       = google_cloud_tasks_queue.default.name
}

output "region" {
  description = "Region of the functions, the queue and the jobs."
  value       = var.region
}

output "runtime_service_account" {
  description = "E-mail address of the account that the function runs as; see drive_access."
  value       = local.emails.run
}

output "scheduler_service_account" {
  description = "E-mail address of the account that Cloud Scheduler calls as; a probe of the health routes may use it too."
  value       = local.emails.scheduler
}

output "schedules" {
  description = "When the jobs run: audit, batch, sweep, watchdog as cron fields in time_zone."
  value       = var.schedules
}

output "service_url" {
  description = "Address of the function, also the audience of every token."
  value       = local.service_url
}

output "source_files" {
  description = "The files that are deployed, relative to the root of the repository."
  value       = tolist(local.source_files)
}

output "tasks_service_account" {
  description = "E-mail address of the account that Cloud Tasks calls as."
  value       = local.emails.tasks
}
