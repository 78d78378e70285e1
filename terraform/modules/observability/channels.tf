locals {
  labels = merge({ app = "daybook" }, var.labels)

  channels = concat(
    [for email in sort(var.notification_emails) : google_monitoring_notification_channel.email[email].name],
    sort(var.notification_channels),
  )
}

# A warning and no refusal: DAYBOOK_ALERT_URLS may be enough for a trial. What the function
# cannot tell itself (job_refused, probe_failed) then reaches no one.
check "somebody_is_told" {
  assert {
    condition     = length(var.notification_emails) + length(var.notification_channels) > 0
    error_message = "No alert reaches anybody: give notification_emails or notification_channels."
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.notification_emails

  project      = var.project_id
  display_name = "Daybook: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  user_labels  = local.labels
}
