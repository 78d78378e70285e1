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
  queue_name                = "daybook"
  region                    = "asia-southeast1"
  scheduler_service_account = "daybook-scheduler@my-project.iam.gserviceaccount.com"
  service_url               = "https://daybook-123456789012.asia-southeast1.run.app"
}

run "an_internal_function_is_probed_from_inside" {
  command = plan

  assert {
    condition     = output.probe == "scheduler_job" && length(google_cloud_scheduler_job.probe) == 1 && length(google_monitoring_uptime_check_config.default) == 0 && length(google_cloud_run_v2_service_iam_member.uptime) == 0
    error_message = "The function is probed from where it cannot be reached."
  }

  assert {
    condition     = google_cloud_scheduler_job.probe[0].http_target[0].http_method == "GET" && google_cloud_scheduler_job.probe[0].http_target[0].uri == "https://daybook-123456789012.asia-southeast1.run.app/health/cron"
    error_message = "The probe asks for something else than the schedule's health."
  }

  assert {
    condition     = google_cloud_scheduler_job.probe[0].http_target[0].oidc_token[0].service_account_email == "daybook-scheduler@my-project.iam.gserviceaccount.com" && google_cloud_scheduler_job.probe[0].http_target[0].oidc_token[0].audience == "https://daybook-123456789012.asia-southeast1.run.app"
    error_message = "The probe would be turned away."
  }

  assert {
    condition     = google_cloud_scheduler_job.probe[0].schedule == "*/10 * * * *" && google_cloud_scheduler_job.probe[0].time_zone == "Asia/Bangkok" && google_cloud_scheduler_job.probe[0].retry_config[0].retry_count == 0 && !google_cloud_scheduler_job.probe[0].paused
    error_message = "The probe does not run every ten minutes, once each."
  }
}

run "a_function_behind_a_load_balancer_is_probed_from_inside" {
  command = plan

  variables {
    ingress = "ALLOW_INTERNAL_AND_GCLB"
  }

  assert {
    condition     = output.probe == "scheduler_job" && length(google_monitoring_uptime_check_config.default) == 0
    error_message = "The function is probed at an address that does not answer from outside."
  }
}

run "two_failed_probes_in_a_row_are_an_alert" {
  command = plan

  assert {
    condition     = endswith(google_logging_metric.counter["probes_failed"].filter, "resource.labels.job_id=\"daybook-probe\" AND jsonPayload.\"@type\"=\"type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished\" AND severity>=ERROR")
    error_message = "Failed probes are not counted."
  }

  assert {
    condition = (
      google_monitoring_alert_policy.probe[0].conditions[0].condition_threshold[0].filter == "metric.type=\"logging.googleapis.com/user/daybook/probes_failed\" AND resource.type=\"cloud_scheduler_job\""
      && google_monitoring_alert_policy.probe[0].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT"
      && google_monitoring_alert_policy.probe[0].conditions[0].condition_threshold[0].threshold_value == 1
      && google_monitoring_alert_policy.probe[0].conditions[0].condition_threshold[0].duration == "60s"
    )
    error_message = "Two failed probes are no alert, or one is."
  }

  assert {
    condition     = google_monitoring_alert_policy.probe[0].conditions[0].condition_threshold[0].evaluation_missing_data == "EVALUATION_MISSING_DATA_INACTIVE"
    error_message = "The incident stays open when the probe works again, and the next outage is none."
  }
}

run "the_window_holds_two_probes_and_never_three" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.probe[0].conditions[0].condition_threshold[0].aggregations[0].alignment_period == "900s"
    error_message = "The window is another than 15 minutes for a probe every ten."
  }
}

run "a_probe_that_stopped_is_an_alert" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.probe[0].combiner == "OR" && google_monitoring_alert_policy.probe[0].conditions[1].condition_threshold[0].filter == "metric.type=\"logging.googleapis.com/user/daybook/probes\" AND resource.type=\"cloud_scheduler_job\"" && google_monitoring_alert_policy.probe[0].conditions[1].condition_threshold[0].duration == "7200s"
    error_message = "Nobody would notice that nobody watches."
  }

  assert {
    condition = (
      google_monitoring_alert_policy.probe[0].conditions[1].condition_threshold[0].comparison == "COMPARISON_LT"
      && google_monitoring_alert_policy.probe[0].conditions[1].condition_threshold[0].threshold_value == 1
      && google_monitoring_alert_policy.probe[0].conditions[1].condition_threshold[0].evaluation_missing_data == "EVALUATION_MISSING_DATA_ACTIVE"
    )
    error_message = "No calls are noticed as points of 0 only, or as missing points only."
  }
}

run "a_public_function_is_probed_from_outside" {
  command = plan

  variables {
    ingress = "ALLOW_ALL"
  }

  assert {
    condition     = output.probe == "uptime_check" && length(google_cloud_scheduler_job.probe) == 0 && length(google_monitoring_alert_policy.probe) == 0 && !contains(output.metric_names, "daybook/probes")
    error_message = "The function is probed twice."
  }

  assert {
    condition     = google_monitoring_uptime_check_config.default[0].http_check[0].path == "/health/cron" && google_monitoring_uptime_check_config.default[0].http_check[0].use_ssl && google_monitoring_uptime_check_config.default[0].http_check[0].validate_ssl && google_monitoring_uptime_check_config.default[0].monitored_resource[0].labels["host"] == "daybook-123456789012.asia-southeast1.run.app"
    error_message = "The check asks for something else."
  }

  # Without a token Cloud Run answers 403.
  assert {
    condition     = google_monitoring_uptime_check_config.default[0].http_check[0].service_agent_authentication[0].type == "OIDC_TOKEN" && google_monitoring_uptime_check_config.default[0].http_check[0].accepted_response_status_codes[0].status_value == 200
    error_message = "The check is turned away, or content with being turned away."
  }

  assert {
    condition     = google_cloud_run_v2_service_iam_member.uptime[0].name == "daybook" && google_cloud_run_v2_service_iam_member.uptime[0].role == "roles/run.invoker" && google_cloud_run_v2_service_iam_member.uptime[0].member == "serviceAccount:service-123456789012@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
    error_message = "Monitoring may not call the function, or somebody else may."
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.uptime[0].conditions[0].condition_threshold[0].filter, "metric.labels.check_id=\"daybook-health-cron-x7\"") && google_monitoring_alert_policy.uptime[0].conditions[0].condition_threshold[0].aggregations[0].cross_series_reducer == "REDUCE_COUNT_FALSE" && google_monitoring_alert_policy.uptime[0].conditions[0].condition_threshold[0].threshold_value == 1
    error_message = "A failing check is no alert."
  }

  assert {
    condition     = output.alerts["probe_failed"].severity == "ERROR" && length(google_monitoring_alert_policy.uptime[0].notification_channels) == 1
    error_message = "Nobody is told that the check fails."
  }
}

run "the_probes_interval_can_be_chosen" {
  command = plan

  variables {
    probe_minutes = 1
  }

  assert {
    condition     = google_cloud_scheduler_job.probe[0].schedule == "* * * * *" && google_monitoring_alert_policy.probe[0].conditions[0].condition_threshold[0].aggregations[0].alignment_period == "120s"
    error_message = "The interval did not reach the job and its alert."
  }
}
