locals {
  # Records of the function; jsonPayload is what docs/logging.md explains.
  records = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.function_name}\""

  # Of both functions, those included that Cloud Run writes about them. Its request log
  # repeats what the function itself has logged, unless Cloud Run says in a text what became
  # of a request that the function did not answer.
  services = join(" OR ", [for name in compact([var.function_name, var.ledger_name]) : "\"${name}\""])
  errors = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=(${local.services})",
    "severity>=ERROR",
    "(NOT log_id(\"run.googleapis.com/requests\") OR textPayload:*)",
  ])

  # A manual export has no batch date.
  delivered = "${local.records} AND jsonPayload.event=\"batch_committed\" AND jsonPayload.batchDate=~\"^[0-9]\""
  slow      = "${local.delivered} AND jsonPayload.durationSeconds>${var.limits.duration_seconds}"
  large     = "${local.delivered} AND jsonPayload.entryCount>${var.limits.entries}"

  counters = {
    attempts_failed = {
      description = "Failed attempts, by type of error"
      filter      = "${local.records} AND jsonPayload.event=(\"attempt_failed\" OR \"batch_failed\")"
      labels      = { error_type = "EXTRACT(jsonPayload.errorType)" }
    }
    breaker_opened = {
      description = "How often the circuit breaker opened, by destination"
      filter      = "${local.records} AND jsonPayload.event=\"breaker_opened\""
      labels      = { destination = "EXTRACT(jsonPayload.destination)" }
    }
    days_ended = {
      description = "Days that ended, by event: delivered, empty or given up"
      filter      = "${local.records} AND jsonPayload.event=(\"batch_committed\" OR \"batch_empty\" OR \"batch_failed\")"
      labels      = { event = "EXTRACT(jsonPayload.event)" }
    }
    days_slow = {
      description = "Delivered days whose last attempt took longer than ${var.limits.duration_seconds} s"
      filter      = local.slow
      labels      = {}
    }
    errors = {
      description = "Records from ERROR up, by event; without one they are the platform's"
      filter      = local.errors
      labels      = { event = "EXTRACT(jsonPayload.event)" }
    }
  }

  # bounds are the upper ends of the buckets.
  distributions = {
    duration = {
      description = "Seconds from the start of a day's last attempt until its file was recorded"
      field       = "jsonPayload.durationSeconds"
      filter      = local.delivered
      unit        = "s"
      bounds      = [1, 5, 10, 25, 30, 60, 120, 300, 600, 3600]
    }
    entries = {
      description = "Entries in a day's file"
      field       = "jsonPayload.entryCount"
      filter      = local.delivered
      unit        = "1"
      bounds      = [1, 10, 100, 500, 1000, 2000, 4000, 10000, 50000, 100000]
    }
    entries_rejected = {
      description = "Entries that a day's file leaves out"
      field       = "jsonPayload.rejectedCount"
      filter      = local.delivered
      unit        = "1"
      bounds      = [1, 10, 100, 1000, 10000]
    }
  }
}

resource "google_logging_metric" "counter" {
  for_each = merge(local.counters, local.probe_counters)

  project          = var.project_id
  name             = "${var.function_name}/${each.key}"
  description      = each.value.description
  filter           = each.value.filter
  label_extractors = each.value.labels

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    dynamic "labels" {
      for_each = each.value.labels

      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }
}

resource "google_logging_metric" "distribution" {
  for_each = local.distributions

  project         = var.project_id
  name            = "${var.function_name}/${each.key}"
  description     = each.value.description
  filter          = each.value.filter
  value_extractor = "EXTRACT(${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit
  }

  bucket_options {
    explicit_buckets {
      bounds = each.value.bounds
    }
  }
}

# A policy on a metric that was just made is refused (404, "Cannot find metric"), for minutes:
# https://github.com/hashicorp/terraform-provider-google/issues/11102
resource "time_sleep" "metrics" {
  create_duration = "180s"

  triggers = {
    for key, metric in google_logging_metric.counter : key => metric.id
  }
}
