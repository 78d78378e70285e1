locals {
  probe_path     = "/health/cron"
  probed_outside = var.ingress == "ALLOW_ALL"

  # https://cloud.google.com/scheduler/docs/view-logs
  attempt_finished = "type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished"
  probe_attempts = join(" AND ", [
    "resource.type=\"cloud_scheduler_job\"",
    "resource.labels.job_id=\"${var.function_name}-probe\"",
    "jsonPayload.\"@type\"=\"${local.attempt_finished}\"",
  ])

  probe_counters = local.probed_outside ? {} : {
    probes = {
      description = "Calls of the health probe"
      filter      = local.probe_attempts
      labels      = {}
    }
    probes_failed = {
      description = "Calls of the health probe that were not answered with 200"
      filter      = "${local.probe_attempts} AND severity>=ERROR"
      labels      = {}
    }
  }

  # Two calls in a row fall into it, three do not. A single failure may be a failover of
  # MongoDB.
  probe_window_seconds = 60 * (var.probe_minutes + ceil(var.probe_minutes / 2))

  probe_advice = <<-EOT
    GET ${local.probe_path} is not answered with 200. 503: MongoDB does not answer, or the last batch is older than it should be. 401 and 403: the caller lacks the invoker role. Nothing at all: the function does not start, or the probe's job is paused.

    Run the scheduler job that ends in -doctor, and read what it logs.

    Runbook: ${local.chapters.probe_failed}
  EOT
}

# From inside, where no uptime check gets. Cloud Scheduler calls the batch in the same way, so
# this also notices when it may no longer call.
# https://cloud.google.com/run/docs/securing/ingress#settings
resource "google_cloud_scheduler_job" "probe" {
  count = local.probed_outside ? 0 : 1

  project          = var.project_id
  region           = var.region
  name             = "${var.function_name}-probe"
  description      = "Asks whether the database answers and the batch came when it was due"
  schedule         = var.probe_minutes == 1 ? "* * * * *" : "*/${var.probe_minutes} * * * *"
  time_zone        = var.time_zone
  paused           = false
  attempt_deadline = "60s"

  http_target {
    http_method = "GET"
    uri         = "${var.service_url}${local.probe_path}"

    oidc_token {
      service_account_email = var.scheduler_service_account
      audience              = var.service_url
    }
  }

  retry_config {
    retry_count = 0
  }
}

resource "google_monitoring_alert_policy" "probe" {
  count = local.probed_outside ? 0 : 1

  project               = var.project_id
  display_name          = "Daybook: the health probe fails"
  severity              = "ERROR"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = merge(local.labels, { alert = "probe_failed" })

  conditions {
    display_name = "probe_failed"

    condition_threshold {
      filter          = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.counter["probes_failed"].name}\" AND resource.type=\"cloud_scheduler_job\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "60s"
      # When no call fails any more there may be no points: then it is over. Left open for a
      # day, the incident would swallow the next outage.
      evaluation_missing_data = "EVALUATION_MISSING_DATA_INACTIVE"

      aggregations {
        alignment_period     = "${local.probe_window_seconds}s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  # The job is paused or deleted: nothing watches. A metric of the log may then have points of 0
  # or none; an absence condition would see the second only.
  conditions {
    display_name = "probe_absent"

    condition_threshold {
      filter                  = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.counter["probes"].name}\" AND resource.type=\"cloud_scheduler_job\""
      comparison              = "COMPARISON_LT"
      threshold_value         = 1
      duration                = "7200s"
      evaluation_missing_data = "EVALUATION_MISSING_DATA_ACTIVE"

      aggregations {
        alignment_period     = "${local.probe_window_seconds}s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "Daybook: the health probe fails"
    content   = local.probe_advice
  }

  depends_on = [time_sleep.metrics]
}

resource "google_monitoring_uptime_check_config" "default" {
  count = local.probed_outside ? 1 : 0

  project            = var.project_id
  display_name       = "${var.function_name} ${local.probe_path}"
  period             = "${var.probe_minutes * 60}s"
  timeout            = "30s"
  log_check_failures = true
  user_labels        = local.labels

  monitored_resource {
    type = "uptime_url"
    labels = {
      host       = trimprefix(var.service_url, "https://")
      project_id = var.project_id
    }
  }

  http_check {
    path         = local.probe_path
    port         = 443
    use_ssl      = true
    validate_ssl = true

    accepted_response_status_codes {
      status_value = 200
    }

    service_agent_authentication {
      type = "OIDC_TOKEN"
    }
  }
}

data "google_project" "default" {
  project_id = var.project_id
}

# Monitoring's own account, which comes into being with the check. The function lets it call
# the health routes and nothing else: it is not in DAYBOOK_CALLERS.
resource "google_cloud_run_v2_service_iam_member" "uptime" {
  count = local.probed_outside ? 1 : 0

  project  = var.project_id
  location = var.region
  name     = var.function_name
  role     = "roles/run.invoker"
  member   = "serviceAccount:service-${data.google_project.default.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"

  depends_on = [google_monitoring_uptime_check_config.default]
}

resource "google_monitoring_alert_policy" "uptime" {
  count = local.probed_outside ? 1 : 0

  project               = var.project_id
  display_name          = "Daybook: the health probe fails"
  severity              = "ERROR"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = merge(local.labels, { alert = "probe_failed" })

  conditions {
    display_name = "probe_failed"

    # At two of the places that call, each by its last call.
    condition_threshold {
      filter          = "metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND resource.type=\"uptime_url\" AND metric.labels.check_id=\"${google_monitoring_uptime_check_config.default[0].uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "${var.probe_minutes * 60}s"

      aggregations {
        alignment_period     = "1200s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "Daybook: the health probe fails"
    content   = local.probe_advice
  }
}
