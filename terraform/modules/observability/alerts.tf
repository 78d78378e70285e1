locals {
  # By key, also for a job that was not given.
  jobs = merge({ for key in ["audit", "batch", "doctor", "retry"] : key => "${var.function_name}-${key}" }, var.job_names)

  # Alerts on a single record: they come at once, name the day and lead to the record. Each
  # key is the event, and the runbook's chapter with - for _. The advice begins with what can be
  # done from a phone and ends with the command.
  events = {
    attempt_failed = {
      severity = "WARNING"
      title    = "an attempt failed"
      advice   = "Nothing to do yet: the next attempt follows by itself, at the time that the record names. Force run ${local.jobs.retry} in Cloud Scheduler to start it sooner, once the cause is removed. Command: `daybook retry DATE`."
    }
    batch_failed = {
      severity = "CRITICAL"
      title    = "the batch FAILED, manual intervention required"
      advice   = "Force run ${local.jobs.retry} in Cloud Scheduler, once the cause is removed; it takes the latest day that was due. Command: `daybook retry DATE`, or `daybook release DATE` to close the day without a file."
    }
    breaker_opened = {
      severity = "WARNING"
      title    = "the destination is paused, the circuit breaker is open"
      advice   = "Check whether Google Drive has an outage: Daybook resumes by itself; Force run ${local.jobs.retry} in Cloud Scheduler to try it sooner. To check access, Force run ${local.jobs.doctor}. Command: `daybook retry DATE` tries it at once, `daybook doctor` checks access."
    }
    day_missing = {
      severity = "CRITICAL"
      title    = "the batch is MISSING"
      advice   = "Force run ${local.jobs.batch} in Cloud Scheduler; it takes the latest day that was due. If the day has failed, Force run ${local.jobs.retry}. Command: `daybook run --date DATE`."
    }
    entries_rejected = {
      severity = "WARNING"
      title    = "entries were rejected"
      advice   = "Nothing to do tonight: the file can be used, and the entries that it leaves out have to be corrected. Command: `daybook status DATE` lists them, `daybook requeue REFERENCE` queues each again."
    }
    entries_changed_after_export = {
      severity = "ERROR"
      title    = "entries were changed after their export"
      advice   = "Nothing to do tonight: the file can be used as it is. The record names the entries: have the changes undone, then correct the error by a reversing entry and a new one. Command: `daybook audit DATE` names every entry and field."
    }
    file_changed = {
      severity = "CRITICAL"
      title    = "a delivered file is gone or was changed"
      advice   = "Tell the accountant not to import the day. Drive's activity says who changed or moved the file: restore it from the trash or from its earlier version, then Force run ${local.jobs.audit} in Cloud Scheduler. Command: `daybook audit DATE`."
    }
    file_unrecorded = {
      severity = "CRITICAL"
      title    = "a file exists, and MongoDB refuses its record"
      advice   = "Do not delete the file. Once what is in the way in MongoDB is removed, as the error says, Force run ${local.jobs.batch} in Cloud Scheduler. Command: `daybook run --date DATE`."
    }
    items_changed_after_seal = {
      severity = "CRITICAL"
      title    = "queue items changed while a file was delivered"
      advice   = "Tell the accountant not to import the file before the entries that the day's record lists are checked. Command: `daybook lineage ENTRY_ID`."
    }
    marking_refused = {
      severity = "CRITICAL"
      title    = "MongoDB refuses to mark queue items"
      advice   = "Once what is in the way in MongoDB is removed, as the error says, Force run ${local.jobs.batch} in Cloud Scheduler. The file can be used, but until then no later file is made. Command: `daybook run --date DATE`."
    }
    orphan_left_behind = {
      severity = "CRITICAL"
      title    = "a file without a record"
      advice   = "Tell the accountant to use only the file that the day's receipt names: there may be two. Command: `daybook status DATE` shows which file the day is recorded with; remove the other."
    }
    publish_failed = {
      severity = "CRITICAL"
      title    = "a delivered file does not have its name yet"
      advice   = "Usually another file has the name: move it away, then Force run ${local.jobs.batch} in Cloud Scheduler. Command: `daybook run --date DATE`."
    }
    run_refused = {
      severity = "CRITICAL"
      title    = "the call for a run FAILED"
      advice   = "Force run ${local.jobs.doctor} in Cloud Scheduler: its record says what is wrong. Once that is removed, Force run ${local.jobs.batch}. Command: `daybook doctor`, then `daybook run --date DATE`."
    }
    unsealed_file = {
      severity = "CRITICAL"
      title    = "a file was changed outside Daybook"
      advice   = "Tell the accountant not to use the changed file. Find out in Drive who changed it. Command: `daybook status DATE` shows the day's delivered file; remove the changed one."
    }
  }

  log_alerts = merge(
    {
      for event, alert in local.events : event => merge(alert, {
        filter  = "${local.records} AND jsonPayload.event=\"${event}\""
        labels  = { batch_date = "EXTRACT(jsonPayload.batchDate)" }
        every_s = 300
      })
    },
    {
      batch_large = {
        severity = "WARNING"
        title    = "more than ${var.limits.entries} entries in a day"
        advice   = "Nothing is wrong with the file. See docs/capacity.md for how many entries a day may have."
        filter   = local.large
        labels   = { batch_date = "EXTRACT(jsonPayload.batchDate)" }
        every_s  = 3600
      }
      error_logged = {
        severity = "ERROR"
        title    = "an error was logged"
        advice   = "Read the record and those around it. docs/logging.md says for each event what to do."
        # Those that are alerts by themselves are left out.
        filter  = "${local.errors} AND NOT jsonPayload.event=(${join(" OR ", [for event in sort(keys(local.events)) : "\"${event}\""])})"
        labels  = { event = "EXTRACT(jsonPayload.event)" }
        every_s = 3600
      }
      job_refused = {
        severity = "ERROR"
        title    = "a scheduler job did not reach the function"
        advice   = "The function never saw the call, so it logged nothing. 401 and 403: the invoker role or DAYBOOK_CALLERS; 404: the address; 429: too few instances."
        # What was answered with 5xx is the function's to tell.
        filter = join(" AND ", [
          "resource.type=\"cloud_scheduler_job\"",
          "resource.labels.job_id=(${join(" OR ", [for key, name in var.job_names : "\"${name}\"" if contains(["audit", "batch", "sweep", "watchdog"], key) || startswith(key, "batch-")])})",
          "jsonPayload.\"@type\"=\"${local.attempt_finished}\"",
          "severity>=ERROR",
          "NOT httpRequest.status>=500",
        ])
        labels  = { job = "EXTRACT(resource.labels.job_id)" }
        every_s = 3600
      }
    },
  )

  policies = concat(
    values(google_monitoring_alert_policy.log),
    [google_monitoring_alert_policy.batch_slow],
    google_monitoring_alert_policy.probe[*],
    google_monitoring_alert_policy.uptime[*],
  )

  chapters = {
    for key in concat(keys(local.log_alerts), ["batch_slow", "probe_failed"]) : key => "${var.runbook}#${replace(key, "_", "-")}"
  }
}

resource "google_monitoring_alert_policy" "log" {
  for_each = local.log_alerts

  project               = var.project_id
  display_name          = "Daybook: ${each.value.title}"
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = merge(local.labels, { alert = each.key })

  conditions {
    display_name = each.key

    condition_matched_log {
      filter           = each.value.filter
      label_extractors = each.value.labels
    }
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "${each.value.every_s}s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "Daybook ${join(" ", [for label in keys(each.value.labels) : "$${log.extracted_label.${label}}"])}: ${each.value.title}"
    content   = <<-EOT
      ${each.value.advice}

      Runbook: ${local.chapters[each.key]}

      Log records: ${local.todays_run_url}
    EOT
  }
}

# Two of a day each within 25 hours, the longest that a condition's period and duration may
# reach back together: so two days in a row, unless the second came nearly an hour later in
# the day than the first.
# https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies#Aggregation
resource "google_monitoring_alert_policy" "batch_slow" {
  project               = var.project_id
  display_name          = "Daybook: slower than ${var.limits.duration_seconds} s on two days in a row"
  severity              = "WARNING"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = merge(local.labels, { alert = "batch_slow" })

  conditions {
    display_name = "batch_slow"

    condition_threshold {
      filter          = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.counter["days_slow"].name}\" AND resource.type=\"cloud_run_revision\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      # Without slow days there may be no points at all: then it is over, and the next time is
      # a new incident. Refused without a duration:
      # https://github.com/hashicorp/terraform-provider-google/issues/16892
      duration                = "60s"
      evaluation_missing_data = "EVALUATION_MISSING_DATA_INACTIVE"

      # Over all revisions: a deployment in between begins another time series.
      aggregations {
        alignment_period     = "89940s"
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
    subject   = "Daybook: slower than ${var.limits.duration_seconds} s on two days in a row"
    content   = <<-EOT
      The files are delivered. See on the dashboard what has grown: the entries or the time for the same number. docs/capacity.md says what helps.

      Runbook: ${local.chapters.batch_slow}
    EOT
  }

  depends_on = [time_sleep.metrics]
}
