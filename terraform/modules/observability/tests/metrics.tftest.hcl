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

run "there_is_a_metric_for_each_chart_and_each_threshold" {
  command = plan

  assert {
    condition     = join(" ", output.metric_names) == "daybook/attempts_failed daybook/breaker_opened daybook/days_ended daybook/days_slow daybook/duration daybook/entries daybook/entries_rejected daybook/errors daybook/probes daybook/probes_failed"
    error_message = "There are other metrics: ${join(" ", output.metric_names)}"
  }
}

run "figures_are_read_from_the_delivered_days_record" {
  command = plan

  assert {
    condition     = { for key, metric in google_logging_metric.distribution : key => metric.value_extractor } == { duration = "EXTRACT(jsonPayload.durationSeconds)", entries = "EXTRACT(jsonPayload.entryCount)", entries_rejected = "EXTRACT(jsonPayload.rejectedCount)" }
    error_message = "A figure is read from another field."
  }

  assert {
    condition     = alltrue([for metric in google_logging_metric.distribution : metric.filter == local.delivered && metric.metric_descriptor[0].value_type == "DISTRIBUTION"])
    error_message = "A figure is read from other records than those of delivered days."
  }

  # Both limits are the end of a bucket, so that what is above them can be counted exactly.
  assert {
    condition     = contains(google_logging_metric.distribution["duration"].bucket_options[0].explicit_buckets[0].bounds, 25) && contains(google_logging_metric.distribution["entries"].bucket_options[0].explicit_buckets[0].bounds, 4000)
    error_message = "A limit lies inside a bucket."
  }
}

run "counters_count_the_functions_records" {
  command = plan

  assert {
    condition = { for key, metric in google_logging_metric.counter : key => trimprefix(metric.filter, "${local.records} AND ") if startswith(metric.filter, local.records) } == {
      attempts_failed = "jsonPayload.event=(\"attempt_failed\" OR \"batch_failed\")"
      breaker_opened  = "jsonPayload.event=\"breaker_opened\""
      days_ended      = "jsonPayload.event=(\"batch_committed\" OR \"batch_empty\" OR \"batch_failed\")"
      days_slow       = "jsonPayload.event=\"batch_committed\" AND jsonPayload.batchDate=~\"^[0-9]\" AND jsonPayload.durationSeconds>25"
    }
    error_message = "A counter counts other records."
  }

  assert {
    condition     = alltrue([for metric in google_logging_metric.counter : metric.metric_descriptor[0].metric_kind == "DELTA" && metric.metric_descriptor[0].value_type == "INT64"])
    error_message = "A counter does not count."
  }

  assert {
    condition = { for key, metric in google_logging_metric.counter : key => join(" ", [for label, field in coalesce(metric.label_extractors, {}) : "${label} ${field}"]) } == {
      attempts_failed = "error_type EXTRACT(jsonPayload.errorType)"
      breaker_opened  = "destination EXTRACT(jsonPayload.destination)"
      days_ended      = "event EXTRACT(jsonPayload.event)"
      days_slow       = ""
      errors          = "event EXTRACT(jsonPayload.event)"
      probes          = ""
      probes_failed   = ""
    }
    error_message = "A label is read from another field."
  }

  # Cloud Run's log of requests repeats what the function has logged, but for what it says in a text.
  assert {
    condition     = google_logging_metric.counter["errors"].filter == "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"daybook\") AND severity>=ERROR AND (NOT log_id(\"run.googleapis.com/requests\") OR textPayload:*)"
    error_message = "An error is counted twice, or what only Cloud Run can tell is not counted."
  }

  # Each extractor needs a label of its name, and the other way round, or the metric is refused.
  assert {
    condition     = alltrue([for metric in google_logging_metric.counter : join(" ", sort([for label in metric.metric_descriptor[0].labels : label.key])) == join(" ", sort(keys(coalesce(metric.label_extractors, {}))))])
    error_message = "A label has no extractor, or an extractor no label."
  }
}

run "alerts_on_metrics_wait_until_the_metrics_are_there" {
  command = plan

  assert {
    condition     = time_sleep.metrics.create_duration == "180s" && toset(keys(time_sleep.metrics.triggers)) == toset(keys(google_logging_metric.counter))
    error_message = "The first apply in an empty project would fail."
  }
}

run "todays_run_is_one_click_away" {
  command = plan

  assert {
    condition     = google_logging_saved_query.todays_run.visibility == "SHARED" && one(google_logging_saved_query.todays_run.logging_query).filter == "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"daybook\" AND jsonPayload.event:*"
    error_message = "The saved query is not everybody's, or finds something else."
  }

  assert {
    condition     = output.todays_run_url == "https://console.cloud.google.com/logs/query;query=resource.type%3D%22cloud_run_revision%22%20AND%20resource.labels.service_name%3D%22daybook%22%20AND%20jsonPayload.event%3A%2A;duration=P1D?project=my-project"
    error_message = "The link is another: ${output.todays_run_url}"
  }
}
