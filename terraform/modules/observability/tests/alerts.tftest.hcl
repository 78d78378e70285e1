mock_provider "google" {
  override_during = plan
  source          = "./tests/mocks"
}

mock_provider "time" {}

variables {
  function_name             = "daybook"
  ingress                   = "ALLOW_INTERNAL_ONLY"
  job_names                 = { audit = "daybook-audit", batch = "daybook-batch", doctor = "daybook-doctor", retry = "daybook-retry", sweep = "daybook-sweep", watchdog = "daybook-watchdog" }
  notification_emails       = ["pager@example.com", "operator@example.com"]
  project_id                = "my-project"
  queue_name                = "daybook"
  region                    = "asia-southeast1"
  scheduler_service_account = "daybook-scheduler@my-project.iam.gserviceaccount.com"
  service_url               = "https://daybook-123456789012.asia-southeast1.run.app"
}

run "each_alert_has_its_severity_and_its_chapter" {
  command = plan

  assert {
    condition = output.alerts == {
      attempt_failed               = { severity = "WARNING", chapter = "docs/runbook.md#attempt-failed" }
      batch_failed                 = { severity = "CRITICAL", chapter = "docs/runbook.md#batch-failed" }
      batch_large                  = { severity = "WARNING", chapter = "docs/runbook.md#batch-large" }
      batch_slow                   = { severity = "WARNING", chapter = "docs/runbook.md#batch-slow" }
      breaker_opened               = { severity = "WARNING", chapter = "docs/runbook.md#breaker-opened" }
      day_missing                  = { severity = "CRITICAL", chapter = "docs/runbook.md#day-missing" }
      entries_changed_after_export = { severity = "ERROR", chapter = "docs/runbook.md#entries-changed-after-export" }
      entries_rejected             = { severity = "WARNING", chapter = "docs/runbook.md#entries-rejected" }
      error_logged                 = { severity = "ERROR", chapter = "docs/runbook.md#error-logged" }
      file_changed                 = { severity = "CRITICAL", chapter = "docs/runbook.md#file-changed" }
      file_unrecorded              = { severity = "CRITICAL", chapter = "docs/runbook.md#file-unrecorded" }
      items_changed_after_seal     = { severity = "CRITICAL", chapter = "docs/runbook.md#items-changed-after-seal" }
      job_refused                  = { severity = "ERROR", chapter = "docs/runbook.md#job-refused" }
      marking_refused              = { severity = "CRITICAL", chapter = "docs/runbook.md#marking-refused" }
      orphan_left_behind           = { severity = "CRITICAL", chapter = "docs/runbook.md#orphan-left-behind" }
      probe_failed                 = { severity = "ERROR", chapter = "docs/runbook.md#probe-failed" }
      publish_failed               = { severity = "CRITICAL", chapter = "docs/runbook.md#publish-failed" }
      run_refused                  = { severity = "CRITICAL", chapter = "docs/runbook.md#run-refused" }
      unsealed_file                = { severity = "CRITICAL", chapter = "docs/runbook.md#unsealed-file" }
    }
    error_message = "An alert is missing, or has another severity or chapter: ${jsonencode(output.alerts)}"
  }

  assert {
    condition     = alltrue([for policy in local.policies : strcontains(policy.documentation[0].content, "docs/runbook.md#${replace(policy.user_labels.alert, "_", "-")}") && length(policy.documentation[0].content) > 100])
    error_message = "A notification does not say what to do, or does not lead to its chapter of the runbook."
  }
}

run "an_alert_on_a_day_begins_with_the_phone_and_names_the_command" {
  command = plan

  assert {
    condition     = alltrue([for event in keys(local.events) : can(regex("^(Nothing to do|Force run daybook-|Tell the accountant|Check|Do not delete|Once|Usually)", google_monitoring_alert_policy.log[event].documentation[0].content)) && can(regex("Command: `daybook [a-z]+", google_monitoring_alert_policy.log[event].documentation[0].content))])
    error_message = "An alert does not begin with what can be done from a phone, or names no command."
  }

  assert {
    condition     = startswith(google_monitoring_alert_policy.log["batch_failed"].documentation[0].content, "Force run daybook-retry in Cloud Scheduler")
    error_message = "A failed day does not begin with the job to run."
  }
}

run "every_alert_reaches_every_channel" {
  command = plan

  variables {
    notification_channels = ["projects/my-project/notificationChannels/7"]
  }

  assert {
    condition     = alltrue([for policy in local.policies : length(policy.notification_channels) == 3 && contains(policy.notification_channels, "projects/my-project/notificationChannels/7")])
    error_message = "An alert reaches fewer than the two addresses and the channel that was there."
  }

  assert {
    condition     = alltrue([for policy in local.policies : policy.enabled != false])
    error_message = "An alert is switched off."
  }

  assert {
    condition     = { for email, channel in google_monitoring_notification_channel.email : email => "${channel.type} ${channel.labels.email_address}" } == { "operator@example.com" = "email operator@example.com", "pager@example.com" = "email pager@example.com" }
    error_message = "A channel leads to another address."
  }
}

run "an_event_is_an_alert_at_its_first_record" {
  command = plan

  assert {
    condition = alltrue([
      for event in ["attempt_failed", "batch_failed", "breaker_opened", "day_missing", "entries_rejected", "file_unrecorded", "items_changed_after_seal", "marking_refused", "orphan_left_behind", "publish_failed", "run_refused", "unsealed_file"] :
      google_monitoring_alert_policy.log[event].conditions[0].condition_matched_log[0].filter == "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"daybook\" AND jsonPayload.event=\"${event}\""
    ])
    error_message = "An alert is not on its event's record of the function."
  }

  assert {
    condition     = google_monitoring_alert_policy.log["batch_failed"].conditions[0].condition_matched_log[0].label_extractors["batch_date"] == "EXTRACT(jsonPayload.batchDate)" && strcontains(google_monitoring_alert_policy.log["batch_failed"].documentation[0].subject, "$${log.extracted_label.batch_date}")
    error_message = "The notification does not name the day."
  }

  # An alert on records must have a rate, and exactly one condition.
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.log : length(policy.conditions) == 1 && can(regex("^(300|3600)s$", policy.alert_strategy[0].notification_rate_limit[0].period))])
    error_message = "An alert on records would be refused."
  }
}

run "any_other_error_is_an_alert" {
  command = plan

  variables {
    ledger_name = "daybook-ledger"
  }

  assert {
    condition     = startswith(google_monitoring_alert_policy.log["error_logged"].conditions[0].condition_matched_log[0].filter, "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"daybook\" OR \"daybook-ledger\") AND severity>=ERROR AND ")
    error_message = "An error of the function or of the ledger is no alert."
  }

  assert {
    condition     = endswith(google_monitoring_alert_policy.log["error_logged"].conditions[0].condition_matched_log[0].filter, " AND NOT jsonPayload.event=(\"attempt_failed\" OR \"batch_failed\" OR \"breaker_opened\" OR \"day_missing\" OR \"entries_changed_after_export\" OR \"entries_rejected\" OR \"file_changed\" OR \"file_unrecorded\" OR \"items_changed_after_seal\" OR \"marking_refused\" OR \"orphan_left_behind\" OR \"publish_failed\" OR \"run_refused\" OR \"unsealed_file\")")
    error_message = "One record would be two alerts."
  }
}

run "errors_are_those_of_the_function_alone_without_a_ledger" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.log["error_logged"].conditions[0].condition_matched_log[0].filter, "service_name=(\"daybook\") AND")
    error_message = "Errors of another service are Daybook's alerts."
  }
}

run "a_day_above_4000_entries_is_an_alert" {
  command = plan

  assert {
    condition     = endswith(google_monitoring_alert_policy.log["batch_large"].conditions[0].condition_matched_log[0].filter, "jsonPayload.event=\"batch_committed\" AND jsonPayload.batchDate=~\"^[0-9]\" AND jsonPayload.entryCount>4000")
    error_message = "The limit of entries is another, or a manual export counts."
  }
}

run "slower_than_25_seconds_on_two_days_in_a_row_is_an_alert" {
  command = plan

  assert {
    condition     = endswith(google_logging_metric.counter["days_slow"].filter, "jsonPayload.event=\"batch_committed\" AND jsonPayload.batchDate=~\"^[0-9]\" AND jsonPayload.durationSeconds>25")
    error_message = "The limit of the duration is another, or a manual export counts."
  }

  assert {
    condition     = google_monitoring_alert_policy.batch_slow.conditions[0].condition_threshold[0].filter == "metric.type=\"logging.googleapis.com/user/daybook/days_slow\" AND resource.type=\"cloud_run_revision\""
    error_message = "The alert is on another metric."
  }

  assert {
    condition = (
      google_monitoring_alert_policy.batch_slow.conditions[0].condition_threshold[0].comparison == "COMPARISON_GT"
      && google_monitoring_alert_policy.batch_slow.conditions[0].condition_threshold[0].threshold_value == 1
      && google_monitoring_alert_policy.batch_slow.conditions[0].condition_threshold[0].duration == "60s"
      && google_monitoring_alert_policy.batch_slow.conditions[0].condition_threshold[0].evaluation_missing_data == "EVALUATION_MISSING_DATA_INACTIVE"
      && google_monitoring_alert_policy.batch_slow.conditions[0].condition_threshold[0].aggregations[0].alignment_period == "89940s"
      && google_monitoring_alert_policy.batch_slow.conditions[0].condition_threshold[0].aggregations[0].per_series_aligner == "ALIGN_SUM"
      && google_monitoring_alert_policy.batch_slow.conditions[0].condition_threshold[0].aggregations[0].cross_series_reducer == "REDUCE_SUM"
    )
    error_message = "One slow day would be enough, or two would not, or a deployment in between hides it."
  }
}

run "limits_can_be_raised" {
  command = plan

  variables {
    limits = { duration_seconds = 60, entries = 20000 }
  }

  assert {
    condition     = endswith(google_logging_metric.counter["days_slow"].filter, "durationSeconds>60") && endswith(google_monitoring_alert_policy.log["batch_large"].conditions[0].condition_matched_log[0].filter, "entryCount>20000")
    error_message = "A limit did not reach its alert."
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.batch_slow.display_name, "60 s") && strcontains(google_monitoring_alert_policy.log["batch_large"].display_name, "20000")
    error_message = "An alert names another limit than its own."
  }
}

run "a_scheduler_job_that_is_turned_away_is_an_alert" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.log["job_refused"].conditions[0].condition_matched_log[0].filter == "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=(\"daybook-audit\" OR \"daybook-batch\" OR \"daybook-sweep\" OR \"daybook-watchdog\") AND jsonPayload.\"@type\"=\"type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished\" AND severity>=ERROR AND NOT httpRequest.status>=500"
    error_message = "A call that never reaches the function is no alert, or a job by hand wakes somebody."
  }
}

run "runbook_can_be_an_address" {
  command = plan

  variables {
    runbook = "https://git.example.com/daybook/docs/runbook.md"
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.log["batch_failed"].documentation[0].content, "https://git.example.com/daybook/docs/runbook.md#batch-failed")
    error_message = "The address of the runbook did not reach the notification."
  }
}
