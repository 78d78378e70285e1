mock_provider "google" {
  source = "./tests/mocks"
}

mock_provider "time" {}

variables {
  drive_folder_id = "1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
  project_id      = "my-project"
  region          = "asia-southeast1"
  secret_values   = {}
  source_root     = "./tests/source"
  secrets         = { DAYBOOK_MONGODB_URI = { secret_id = "daybook-mongodb-uri" } }
}

run "attempts_are_capped" {
  assert {
    condition     = try(google_cloud_tasks_queue.default.retry_config[0].max_attempts, -1) == 20
    error_message = "The queue delivers a task more than 20 times, or without end."
  }
}

# Cloud Tasks stops only when both limits are reached: if the duration outlasted the backoff
# of the attempts, it would be the cap, not max_attempts.
run "attempts_not_the_duration_end_the_retrying" {
  variables {
    tasks = { max_attempts = 5 }
  }

  assert {
    condition     = google_cloud_tasks_queue.default.retry_config[0].max_attempts == 5
    error_message = "max_attempts did not reach the queue."
  }

  assert {
    condition = tonumber(trimsuffix(try(google_cloud_tasks_queue.default.retry_config[0].max_retry_duration, "inf"), "s")) <= sum([
      for n in range(google_cloud_tasks_queue.default.retry_config[0].max_attempts - 1) :
      min(tonumber(trimsuffix(google_cloud_tasks_queue.default.retry_config[0].min_backoff, "s")) * pow(2, min(n, google_cloud_tasks_queue.default.retry_config[0].max_doublings)), tonumber(trimsuffix(google_cloud_tasks_queue.default.retry_config[0].max_backoff, "s")))
    ])
    error_message = "max_retry_duration ends after the last attempt, so that there would be more attempts than max_attempts."
  }
}

run "dispatch_is_limited" {
  assert {
    condition     = google_cloud_tasks_queue.default.rate_limits[0].max_concurrent_dispatches == 4 && google_cloud_tasks_queue.default.rate_limits[0].max_dispatches_per_second == 2
    error_message = "The queue's rate limits are not the defaults."
  }
}

run "function_knows_where_and_as_whom_tasks_call" {
  assert {
    condition = {
      for name in ["DAYBOOK_SERVICE_URL", "DAYBOOK_TASKS_QUEUE", "DAYBOOK_TASKS_SERVICE_ACCOUNT"] :
      name => google_cloudfunctions2_function.default.service_config[0].environment_variables[name]
      } == {
      DAYBOOK_SERVICE_URL           = "https://daybook-123456789012.asia-southeast1.run.app"
      DAYBOOK_TASKS_QUEUE           = "projects/my-project/locations/asia-southeast1/queues/daybook"
      DAYBOOK_TASKS_SERVICE_ACCOUNT = "daybook-tasks@my-project.iam.gserviceaccount.com"
    }
    error_message = "The function would create tasks elsewhere, or as somebody else."
  }
}

run "only_the_runtime_account_may_act_as_the_tasks_account" {
  assert {
    condition = (
      google_service_account_iam_member.runtime_as_tasks.service_account_id == "projects/my-project/serviceAccounts/daybook-tasks@my-project.iam.gserviceaccount.com"
      && google_service_account_iam_member.runtime_as_tasks.role == "roles/iam.serviceAccountUser"
      && google_service_account_iam_member.runtime_as_tasks.member == "serviceAccount:daybook-run@my-project.iam.gserviceaccount.com"
    )
    error_message = "Cloud Tasks would refuse a task that calls as the tasks account."
  }

  assert {
    condition     = alltrue([for grant in google_cloud_tasks_queue_iam_member.runtime : grant.name == "daybook" && grant.member == "serviceAccount:daybook-run@my-project.iam.gserviceaccount.com"])
    error_message = "The queue's rights are not on the one queue, for the runtime account."
  }

  assert {
    condition     = [for grant in google_cloud_tasks_queue_iam_member.runtime : grant.role] == ["roles/cloudtasks.enqueuer", "roles/cloudtasks.viewer"]
    error_message = "The runtime account has other rights on the queue than to put tasks in and to look."
  }
}
