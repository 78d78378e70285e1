locals {
  labels = merge({ app = "daybook" }, var.labels)

  channels = concat(
    [for email in sort(var.notification_emails) : google_monitoring_notification_channel.email[email].name],
    sort(var.notification_channels),
  )
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.notification_emails

  project      = var.project_id
  display_name = "Daybook: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  user_labels  = local.labels
}
