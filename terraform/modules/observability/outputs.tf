output "alerts" {
  description = "The alert policies, each with its severity and its chapter in the runbook."
  value       = { for policy in local.policies : policy.user_labels.alert => { severity = policy.severity, chapter = local.chapters[policy.user_labels.alert] } }
}

output "channels" {
  description = "The channels that every alert goes to."
  value       = local.channels
}

output "dashboard_url" {
  description = "Address of the dashboard."
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${basename(google_monitoring_dashboard.default.id)}?project=${var.project_id}"
}

output "metric_names" {
  description = "Names of the log-based metrics; in filters logging.googleapis.com/user/NAME."
  value       = sort(concat([for metric in google_logging_metric.counter : metric.name], [for metric in google_logging_metric.distribution : metric.name]))
}

output "probe" {
  description = "What asks for the function's health: uptime_check or scheduler_job."
  value       = local.probed_outside ? "uptime_check" : "scheduler_job"
}

output "todays_run_url" {
  description = "The function's records of the last day, in the Logs Explorer."
  value       = local.todays_run_url
}
