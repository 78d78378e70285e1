# A deleted queue's name cannot be used again for some days.
resource "google_cloud_tasks_queue" "default" {
  project  = var.project_id
  location = var.region
  name     = var.name

  rate_limits {
    max_concurrent_dispatches = var.tasks.max_concurrent_dispatches
    max_dispatches_per_second = var.tasks.max_dispatches_per_second
  }

  # Deliveries that got no 2xx answer, after 10, 20, 40, 80, 160, 300, 300, ... s. When to
  # try the batch again is decided by Daybook, with a task of its own for each attempt.
  retry_config {
    max_attempts  = var.tasks.max_attempts
    min_backoff   = "10s"
    max_backoff   = "300s"
    max_doublings = 5
    # Retrying ends only when both limits are reached, and the backoff of five attempts takes
    # longer than this: so max_attempts is what ends it.
    # https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#RetryConfig
    max_retry_duration = "120s"
  }

  stackdriver_logging_config {
    sampling_ratio = 1
  }

  depends_on = [google_project_service.default]
}
