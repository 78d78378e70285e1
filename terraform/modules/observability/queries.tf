locals {
  todays_run = "${local.records} AND jsonPayload.event:*"

  # The query is in the path, where the + that urlencode makes of a space is a plus sign.
  todays_run_url = "https://console.cloud.google.com/logs/query;query=${replace(urlencode(local.todays_run), "+", "%20")};duration=P1D?project=${var.project_id}"
}

# A query cannot say "today": the Logs Explorer asks for the time, the link brings it along.
resource "google_logging_saved_query" "todays_run" {
  parent       = "projects/${var.project_id}"
  location     = "global"
  name         = "${var.function_name}-todays-run"
  display_name = "Daybook: today's run"
  description  = "What the function logged, event by event. Choose the last day, or pick a day by labels.batchDate."
  visibility   = "SHARED"

  logging_query {
    filter = local.todays_run

    dynamic "summary_fields" {
      for_each = ["jsonPayload.event", "jsonPayload.batchDate", "jsonPayload.attempt", "jsonPayload.step"]

      content {
        field = summary_fields.value
      }
    }
  }
}
