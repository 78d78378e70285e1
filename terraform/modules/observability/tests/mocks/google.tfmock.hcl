mock_data "google_project" {
  defaults = { number = "123456789012" }
}

mock_resource "google_logging_metric" {
  defaults = { id = "daybook/metric" }
}

mock_resource "google_monitoring_alert_policy" {
  defaults = { name = "projects/my-project/alertPolicies/101" }
}

mock_resource "google_monitoring_dashboard" {
  defaults = { id = "projects/123456789012/dashboards/0f2d4c68" }
}

mock_resource "google_monitoring_notification_channel" {
  defaults = { name = "projects/my-project/notificationChannels/202" }
}

mock_resource "google_monitoring_uptime_check_config" {
  defaults = { uptime_check_id = "daybook-health-cron-x7" }
}
