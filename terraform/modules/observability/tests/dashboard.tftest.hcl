mock_provider "google" {
  override_during = plan
  source          = "./tests/mocks"
}

mock_provider "time" {}

variables {
  function_name             = "daybook"
  ingress                   = "ALLOW_INTERNAL_ONLY"
  job_names                 = { audit = "daybook-audit", batch = "daybook-batch", sweep = "daybook-sweep", watchdog = "daybook-watchdog" }
  notification_emails       = ["operator@example.com"]
  project_id                = "my-project"
  queue_name                = "daybook-queue"
  region                    = "asia-southeast1"
  scheduler_service_account = "daybook-scheduler@my-project.iam.gserviceaccount.com"
  service_url               = "https://daybook-123456789012.asia-southeast1.run.app"
}

run "dashboard_shows_what_an_operator_asks_for" {
  command = plan

  assert {
    condition = [for tile in jsondecode(google_monitoring_dashboard.default.dashboard_json).mosaicLayout.tiles : tile.widget.title] == [
      "Duration of the day's last attempt (s)",
      "Entries in the day's file",
      "Errors, by event",
      "Attempts: days that ended, and failed attempts by type of error",
      "Circuit breaker: how often it opened, by destination",
      "Queue: age of tasks when they are delivered, 99th percentile (ms)",
      "Queue: tasks that wait",
      "Memory, share of the limit, 99th percentile",
      "Open incidents",
      "What to do",
      "Today's run",
    ]
    error_message = "A panel is missing."
  }

  assert {
    condition     = [for chart in local.charts : chart.threshold if chart.threshold != null] == [25, 4000]
    error_message = "The charts do not show from where on there is an alert."
  }
}

run "charts_are_of_metrics_that_exist" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for chart in local.charts : [
        for series in chart.series : contains(output.metric_names, try(regex("logging.googleapis.com/user/([^\"]+)\"", series.filter)[0], "")) || can(regex("^metric.type=\"(cloudtasks|run)\\.googleapis\\.com/", series.filter))
      ]
    ]))
    error_message = "A chart is of a metric that nobody writes."
  }

  assert {
    condition = alltrue(flatten([
      for chart in local.charts : [
        for series in chart.series : [
          for label in series.by : contains(keys(local.counters[regex("logging.googleapis.com/user/daybook/([^\"]+)\"", series.filter)[0]].labels), trimprefix(label, "metric.label."))
        ]
      ]
    ]))
    error_message = "A chart is grouped by a label that its metric has not."
  }

  assert {
    condition     = length([for chart in local.charts : chart if strcontains(jsonencode(chart), "queue_id=\\\"daybook-queue\\\"")]) == 2
    error_message = "The queue's charts are of another queue."
  }
}

run "tiles_lie_side_by_side" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for i, a in local.tiles : [
        for j, b in local.tiles : i == j || a.xPos + a.width <= b.xPos || b.xPos + b.width <= a.xPos || a.yPos + a.height <= b.yPos || b.yPos + b.height <= a.yPos
      ]
    ])) && alltrue([for tile in local.tiles : tile.xPos + tile.width <= 48])
    error_message = "Two tiles overlap, or one sticks out."
  }

  assert {
    condition     = jsondecode(google_monitoring_dashboard.default.dashboard_json).mosaicLayout.tiles[2].widget.xyChart.dataSets[0].legendTemplate == "errors $${metric.labels.event}"
    error_message = "The legend does not name the series."
  }
}

run "log_panel_shows_the_functions_records" {
  command = plan

  assert {
    condition     = local.tiles[length(local.tiles) - 1].widget.logsPanel == { filter = local.todays_run, resourceNames = ["projects/my-project"] }
    error_message = "The log panel shows something else."
  }

  assert {
    condition     = output.dashboard_url == "https://console.cloud.google.com/monitoring/dashboards/builder/0f2d4c68?project=my-project"
    error_message = "The dashboard's address is another: ${output.dashboard_url}"
  }
}
