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

run "batch_is_due_at_18_in_bangkok" {
  assert {
    condition     = google_cloud_scheduler_job.default["batch"].schedule == "0 18 * * *"
    error_message = "The batch is not due at 18:00."
  }

  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.default : job.time_zone == "Asia/Bangkok"])
    error_message = "A job's time zone is not Asia/Bangkok: ${join(", ", [for job in google_cloud_scheduler_job.default : "${job.name} ${job.time_zone}"])}"
  }

  assert {
    condition     = google_cloudfunctions2_function.default.service_config[0].environment_variables["DAILY_BATCH_CRON"] == google_cloud_scheduler_job.default["batch"].schedule
    error_message = "The function takes another schedule for the batch's than the scheduler has."
  }

  assert {
    condition     = google_cloudfunctions2_function.default.service_config[0].environment_variables["DAILY_BATCH_TIMEZONE"] == google_cloud_scheduler_job.default["batch"].time_zone
    error_message = "The function dates batches in another time zone than the scheduler's."
  }
}

run "schedules_can_be_changed" {
  variables {
    schedules = { audit = "0 7 * * mon", batch = "15 17 * * mon-fri", watchdog = "0 21 1,15 * *", sweep = "*/30 0-5/2 * jan *", time_zone = "America/Argentina/Buenos_Aires" }
  }

  assert {
    condition     = [for key in ["audit", "batch", "watchdog", "sweep"] : google_cloud_scheduler_job.default[key].schedule] == ["0 7 * * mon", "15 17 * * mon-fri", "0 21 1,15 * *", "*/30 0-5/2 * jan *"]
    error_message = "The schedules did not reach the jobs."
  }

  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.default : job.time_zone == "America/Argentina/Buenos_Aires"])
    error_message = "The time zone did not reach the jobs."
  }
}

run "each_job_calls_its_route" {
  assert {
    condition = { for key, job in google_cloud_scheduler_job.default : key => job.http_target[0].uri } == {
      audit    = "https://daybook-123456789012.asia-southeast1.run.app/audit"
      batch    = "https://daybook-123456789012.asia-southeast1.run.app/run"
      doctor   = "https://daybook-123456789012.asia-southeast1.run.app/admin/doctor"
      migrate  = "https://daybook-123456789012.asia-southeast1.run.app/admin/migrate"
      retry    = "https://daybook-123456789012.asia-southeast1.run.app/admin/retry"
      sweep    = "https://daybook-123456789012.asia-southeast1.run.app/sweep"
      watchdog = "https://daybook-123456789012.asia-southeast1.run.app/watchdog"
    }
    error_message = "A job is missing or calls another address."
  }

  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.default : job.http_target[0].http_method == "POST" && jsondecode(base64decode(job.http_target[0].body)) == {}])
    error_message = "A job does not POST an empty object."
  }
}

run "every_job_identifies_itself_with_a_token_for_this_function" {
  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.default : length(job.http_target[0].oidc_token) == 1])
    error_message = "A job calls without a token: ${join(", ", [for job in google_cloud_scheduler_job.default : job.name if length(job.http_target[0].oidc_token) == 0])}"
  }

  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.default : try(job.http_target[0].oidc_token[0].audience, null) == "https://daybook-123456789012.asia-southeast1.run.app"])
    error_message = "A token's audience is not the function's address."
  }

  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.default : try(job.http_target[0].oidc_token[0].service_account_email, null) == "daybook-scheduler@my-project.iam.gserviceaccount.com"])
    error_message = "A job does not call as the scheduler's own account."
  }
}

run "jobs_by_hand_never_run_by_themselves" {
  assert {
    condition     = [for key, job in google_cloud_scheduler_job.default : key if job.paused] == ["doctor", "migrate", "retry"]
    error_message = "Paused must be doctor, migrate and retry, and nothing else."
  }

  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.default : job.paused ? job.retry_config[0].retry_count == 0 : true])
    error_message = "What an operator does by hand is repeated behind his back."
  }
}

run "the_evening_waits_while_daybook_is_set_up" {
  variables {
    paused = true
  }

  assert {
    condition     = [for key, job in google_cloud_scheduler_job.default : key if !job.paused] == ["sweep"]
    error_message = "With paused, the batch or its dead man's switch runs all the same, or the sweep does not."
  }

  assert {
    condition     = google_cloud_scheduler_job.default["batch"].retry_config[0].retry_count == 5 && google_cloud_scheduler_job.default["batch"].schedule == "0 18 * * *"
    error_message = "A paused batch is another job than the one that is resumed."
  }
}

run "repeats_outlast_a_lease" {
  variables {
    settings = { lease_seconds = 600 }
  }

  # Waits of min * 2^n, n up to max_doublings, then the longest.
  assert {
    condition = alltrue([
      for job in google_cloud_scheduler_job.default : 600 < sum(concat([0], [
        for n in range(job.retry_config[0].retry_count) :
        min(tonumber(trimsuffix(job.retry_config[0].min_backoff_duration, "s")) * pow(2, min(n, job.retry_config[0].max_doublings)), tonumber(trimsuffix(job.retry_config[0].max_backoff_duration, "s")))
      ])) if !job.paused
    ])
    error_message = "A job's repeats end before the lease of a run that died."
  }

  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.default : job.retry_config[0].retry_count <= 5 && job.retry_config[0].max_retry_duration == "0s"])
    error_message = "A job is repeated without a cap."
  }
}

run "a_job_waits_as_long_as_the_function_may_take" {
  variables {
    function = { timeout_seconds = 1800 }
    settings = { run_deadline_seconds = 1770 }
  }

  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.default : job.attempt_deadline == "1800s"])
    error_message = "A job gives up before the function does."
  }

  assert {
    condition     = google_cloudfunctions2_function.default.service_config[0].timeout_seconds == 1800
    error_message = "The timeout did not reach the function."
  }
}

run "profiles_become_the_setting_and_a_job_for_each_distinct_time" {
  variables {
    profiles = {
      east  = {}
      night = { cron = "0 3 * * *", time_zone = "Asia/Tokyo" }
      owl   = { cron = "0 3 * * *", time_zone = "Asia/Tokyo", toml = "preset = \"xero\"\n[[owl.columns]]\ntitle = \"Date\"\nvalue = \"entry.date\"\n" }
      west  = { cron = "0 18 * * *" }
    }
  }

  assert {
    condition = google_cloudfunctions2_function.default.service_config[0].environment_variables["DAYBOOK_PROFILES"] == join("\n", [
      "[east]",
      "[night]", "cron = \"0 3 * * *\"", "time_zone = \"Asia/Tokyo\"",
      "[owl]", "cron = \"0 3 * * *\"", "time_zone = \"Asia/Tokyo\"", "preset = \"xero\"", "[[owl.columns]]", "title = \"Date\"", "value = \"entry.date\"",
      "[west]", "cron = \"0 18 * * *\"",
    ])
    error_message = "DAYBOOK_PROFILES is another: ${google_cloudfunctions2_function.default.service_config[0].environment_variables["DAYBOOK_PROFILES"]}"
  }

  assert {
    condition = [for key, job in google_cloud_scheduler_job.default : "${job.schedule} ${job.time_zone} ${job.http_target[0].uri}" if startswith(key, "batch-")] == [
      "0 3 * * * Asia/Tokyo https://daybook-123456789012.asia-southeast1.run.app/run",
    ]
    error_message = "The profiles' jobs are others: ${join(", ", keys(google_cloud_scheduler_job.default))}"
  }

  assert {
    condition = { for key, job in google_cloud_scheduler_job.default : key => base64decode(job.http_target[0].body) if !contains(["audit", "batch", "sweep", "watchdog"], split("-", key)[0]) } == {
      doctor      = "{}"
      migrate     = "{}"
      retry       = "{}"
      retry-east  = "{\"profile\":\"east\"}"
      retry-night = "{\"profile\":\"night\"}"
      retry-owl   = "{\"profile\":\"owl\"}"
      retry-west  = "{\"profile\":\"west\"}"
    }
    error_message = "A job by hand is missing, or calls another profile."
  }

  assert {
    condition     = alltrue([for key, job in google_cloud_scheduler_job.default : base64decode(job.http_target[0].body) == "{\"profile\":\"*\"}" if contains(["audit", "batch", "sweep", "watchdog"], split("-", key)[0])])
    error_message = "A job does not call every profile."
  }

  assert {
    condition = alltrue([
      for key, job in google_cloud_scheduler_job.default :
      job.paused && job.retry_config[0].retry_count == 0 && job.schedule == "0 0 1 1 *" && job.http_target[0].uri == google_cloud_scheduler_job.default["retry"].http_target[0].uri && job.http_target[0].oidc_token[0].audience == google_cloud_scheduler_job.default["retry"].http_target[0].oidc_token[0].audience
      if startswith(key, "retry-")
    ])
    error_message = "A profile's retry is not as that of daily."
  }

  assert {
    condition     = google_cloud_scheduler_job.default["retry-owl"].time_zone == "Asia/Tokyo" && google_cloud_scheduler_job.default["retry-owl"].name == "daybook-retry-owl"
    error_message = "A profile's retry has another name or time zone than messages say."
  }
}

run "one_profile_is_called_without_a_name" {
  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.default : base64decode(job.http_target[0].body) == "{}"])
    error_message = "A job's body changed although there are no profiles."
  }
}
