locals {
  user_metric = "metric.type=\"logging.googleapis.com/user/${var.function_name}"

  # Each a chart of one or more series. by: the label that makes a series; a distribution's
  # mean is exact, whatever its buckets.
  charts = [
    {
      title     = "Duration of the day's last attempt (s)"
      threshold = var.limits.duration_seconds
      series = [
        { name = "duration", filter = "${local.user_metric}/duration\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_MEAN", by = [] },
      ]
    },
    {
      title     = "Entries in the day's file"
      threshold = var.limits.entries
      series = [
        { name = "entries", filter = "${local.user_metric}/entries\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_MEAN", by = [] },
        { name = "rejected", filter = "${local.user_metric}/entries_rejected\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_MEAN", by = [] },
      ]
    },
    {
      title     = "Errors, by event"
      threshold = null
      series = [
        { name = "errors", filter = "${local.user_metric}/errors\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.label.event"] },
      ]
    },
    {
      title     = "Attempts: days that ended, and failed attempts by type of error"
      threshold = null
      series = [
        { name = "days", filter = "${local.user_metric}/days_ended\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.label.event"] },
        { name = "failed attempts", filter = "${local.user_metric}/attempts_failed\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.label.error_type"] },
      ]
    },
    {
      title     = "Circuit breaker: how often it opened, by destination"
      threshold = null
      series = [
        { name = "opened", filter = "${local.user_metric}/breaker_opened\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.label.destination"] },
      ]
    },
    {
      title     = "Queue: age of tasks when they are delivered, 99th percentile (ms)"
      threshold = null
      series = [
        { name = "age", filter = "metric.type=\"cloudtasks.googleapis.com/queue/task_attempt_delays\" AND resource.type=\"cloud_tasks_queue\" AND resource.labels.queue_id=\"${var.queue_name}\"", aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", by = [] },
      ]
    },
    {
      title     = "Queue: tasks that wait"
      threshold = null
      series = [
        { name = "tasks", filter = "metric.type=\"cloudtasks.googleapis.com/queue/depth\" AND resource.type=\"cloud_tasks_queue\" AND resource.labels.queue_id=\"${var.queue_name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", by = [] },
      ]
    },
    {
      title     = "Memory, share of the limit, 99th percentile"
      threshold = null
      series = [
        { name = "memory", filter = "metric.type=\"run.googleapis.com/container/memory/utilizations\" AND resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.function_name}\"", aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", by = [] },
      ]
    },
  ]

  widgets = concat(
    [
      for chart in local.charts : {
        title = chart.title
        xyChart = {
          chartOptions = { mode = "COLOR" }
          thresholds   = chart.threshold == null ? [] : [{ label = "alert", value = chart.threshold }]
          dataSets = [
            for series in chart.series : {
              plotType           = "STACKED_BAR"
              targetAxis         = "Y1"
              minAlignmentPeriod = "3600s"
              legendTemplate     = join(" ", concat([series.name], [for label in series.by : "$${${replace(label, "label", "labels")}}"]))
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = series.filter
                  aggregation = {
                    alignmentPeriod    = "3600s"
                    perSeriesAligner   = series.aligner
                    crossSeriesReducer = series.reducer
                    groupByFields      = series.by
                  }
                }
              }
            }
          ]
        }
      }
    ],
    [
      {
        title        = "Open incidents"
        incidentList = { monitoredResources = [], policyNames = [for policy in local.policies : policy.name] }
      },
      {
        title = "What to do"
        text = {
          format  = "MARKDOWN"
          content = "Runbook: ${var.runbook}\n\n[Today's run](${local.todays_run_url})\n\nBy hand, from a phone: Cloud Scheduler, Force run of ${join(", ", [for key, name in var.job_names : name])}."
        }
      },
    ],
  )

  # Two columns, and the log below them over the whole width.
  tiles = concat(
    [
      for index, widget in local.widgets : {
        xPos   = (index % 2) * 24
        yPos   = floor(index / 2) * 16
        width  = 24
        height = 16
        widget = widget
      }
    ],
    [
      {
        xPos   = 0
        yPos   = ceil(length(local.widgets) / 2) * 16
        width  = 48
        height = 24
        widget = {
          title = "Today's run"
          logsPanel = {
            filter        = local.todays_run
            resourceNames = ["projects/${var.project_id}"]
          }
        }
      },
    ],
  )
}

resource "google_monitoring_dashboard" "default" {
  project = var.project_id
  dashboard_json = jsonencode({
    displayName  = "Daybook"
    mosaicLayout = { columns = 48, tiles = local.tiles }
  })

  depends_on = [google_logging_metric.counter, google_logging_metric.distribution]
}
