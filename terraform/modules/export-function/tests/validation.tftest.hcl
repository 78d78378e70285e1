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

run "refuses_cron_with_an_hour_that_is_none" {
  command = plan

  variables {
    schedules = { batch = "0 25 * * *" }
  }

  expect_failures = [var.schedules]
}

run "refuses_cron_of_six_fields" {
  command = plan

  variables {
    schedules = { batch = "0 0 18 * * *" }
  }

  expect_failures = [var.schedules]
}

run "refuses_cron_of_words" {
  command = plan

  variables {
    schedules = { watchdog = "every 24 hours" }
  }

  expect_failures = [var.schedules]
}

run "refuses_cron_with_a_minute_that_is_none" {
  command = plan

  variables {
    schedules = { sweep = "60 3 * * *" }
  }

  expect_failures = [var.schedules]
}

run "refuses_cron_with_a_step_without_a_range" {
  command = plan

  variables {
    schedules = { sweep = "5/10 3 * * *" }
  }

  expect_failures = [var.schedules]
}

run "refuses_time_zone_without_a_region" {
  command = plan

  variables {
    schedules = { time_zone = "Bangkok" }
  }

  expect_failures = [var.schedules]
}

run "refuses_time_zone_as_an_offset" {
  command = plan

  variables {
    schedules = { time_zone = "GMT+7" }
  }

  expect_failures = [var.schedules]
}

run "refuses_address_instead_of_a_folder_id" {
  command = plan

  variables {
    drive_folder_id = "https://drive.google.com/drive/folders/1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
  }

  expect_failures = [var.drive_folder_id]
}

run "refuses_folder_id_with_the_address_s_query" {
  command = plan

  variables {
    drive_folder_id = "1AbCdEfGhIjKlMnOpQrStUvWxYz012345?usp=sharing"
  }

  expect_failures = [var.drive_folder_id]
}

run "refuses_empty_folder_id" {
  command = plan

  variables {
    drive_folder_id = ""
  }

  expect_failures = [var.drive_folder_id]
}

run "refuses_subject_that_is_no_address" {
  command = plan

  variables {
    drive_subject = "books"
  }

  expect_failures = [var.drive_subject]
}

run "refuses_timeout_that_nobody_waits_for" {
  command = plan

  variables {
    function = { timeout_seconds = 1801 }
  }

  expect_failures = [var.function]
}

run "refuses_timeout_too_short" {
  command = plan

  variables {
    function = { timeout_seconds = 59 }
  }

  expect_failures = [var.function]
}

run "refuses_timeout_before_the_run_s_deadline" {
  command = plan

  variables {
    function = { timeout_seconds = 509 }
  }

  expect_failures = [var.function]
}

run "refuses_concurrency_of_one" {
  command = plan

  variables {
    function = { concurrency = 1 }
  }

  expect_failures = [var.function]
}

run "refuses_less_than_one_cpu" {
  command = plan

  variables {
    function = { cpu = "0.5" }
  }

  expect_failures = [var.function]
}

run "refuses_memory_without_a_unit" {
  command = plan

  variables {
    function = { memory = "1024" }
  }

  expect_failures = [var.function]
}

run "refuses_no_instance" {
  command = plan

  variables {
    function = { max_instances = 0 }
  }

  expect_failures = [var.function]
}

run "refuses_unknown_ingress" {
  command = plan

  variables {
    ingress = "PUBLIC"
  }

  expect_failures = [var.ingress]
}

run "refuses_wallets_for_an_account_that_may_not_call" {
  command = plan

  variables {
    ledger_callers = { "/wallets" = ["shop@my-project.iam.gserviceaccount.com"] }
    ledger_wallets = { "bank@my-project.iam.gserviceaccount.com" = ["*"] }
  }

  expect_failures = [var.ledger_wallets]
}

run "refuses_an_account_with_no_wallet" {
  command = plan

  variables {
    ledger_callers = { "/wallets" = ["shop@my-project.iam.gserviceaccount.com"] }
    ledger_wallets = { "shop@my-project.iam.gserviceaccount.com" = [] }
  }

  expect_failures = [var.ledger_wallets]
}

run "refuses_wallets_of_what_is_no_id" {
  command = plan

  variables {
    ledger_callers = { "/wallets" = ["shop@my-project.iam.gserviceaccount.com"] }
    ledger_wallets = { "shop@my-project.iam.gserviceaccount.com" = ["65a8"] }
  }

  expect_failures = [var.ledger_wallets]
}

run "refuses_a_ledger_without_callers" {
  command = plan

  variables {
    ledger_enabled = true
  }

  expect_failures = [var.ledger_callers]
}

run "refuses_a_ledger_whose_routes_name_nobody" {
  command = plan

  variables {
    ledger_callers = { "/transfers" = [] }
    ledger_enabled = true
  }

  expect_failures = [var.ledger_callers]
}

run "refuses_a_route_that_the_ledger_does_not_have" {
  command = plan

  variables {
    ledger_callers = { "/wallets/{userId}" = ["shop@my-project.iam.gserviceaccount.com"] }
  }

  expect_failures = [var.ledger_callers]
}

run "refuses_to_open_the_ledger_to_everybody" {
  command = plan

  variables {
    ledger_callers = { "/transfers" = ["allUsers"] }
  }

  expect_failures = [var.ledger_callers]
}

run "refuses_a_caller_of_the_ledger_with_the_kind_of_account_before_it" {
  command = plan

  variables {
    ledger_callers = { "/transfers" = ["serviceAccount:shop@my-project.iam.gserviceaccount.com"] }
  }

  expect_failures = [var.ledger_callers]
}

run "refuses_a_caller_of_the_ledger_that_would_name_another_route" {
  command = plan

  variables {
    ledger_callers = { "/transfers" = ["shop@my-project.iam.gserviceaccount.com,/users=eve@example.com"] }
  }

  expect_failures = [var.ledger_callers]
}

run "refuses_metrics_for_a_person" {
  command = plan

  variables {
    metrics_readers = ["operator@example.com"]
  }

  expect_failures = [var.metrics_readers]
}

run "refuses_name_too_long_for_an_account" {
  command = plan

  variables {
    name = "daybook-for-the-whole-company"
  }

  expect_failures = [var.name]
}

run "refuses_operator_with_a_prefix" {
  command = plan

  variables {
    operators = ["user:operator@example.com"]
  }

  expect_failures = [var.operators]
}

run "refuses_operator_that_is_everybody" {
  command = plan

  variables {
    operators = ["allUsers"]
  }

  expect_failures = [var.operators]
}

run "refuses_project_number" {
  command = plan

  variables {
    project_id = "123456789012"
  }

  expect_failures = [var.project_id]
}

run "refuses_project_with_capitals" {
  command = plan

  variables {
    project_id = "My-Project"
  }

  expect_failures = [var.project_id]
}

run "refuses_zone_instead_of_a_region" {
  command = plan

  variables {
    region = "asia-southeast1-a"
  }

  expect_failures = [var.region]
}

run "refuses_no_database_address" {
  command = plan

  variables {
    secrets = { DAYBOOK_ALERT_URLS = { secret_id = "daybook-alert-urls" } }
  }

  expect_failures = [var.secrets]
}

run "refuses_secret_for_a_variable_that_is_none" {
  command = plan

  variables {
    secrets = { DAYBOOK_MONGODB_URI = { secret_id = "uri" }, DAYBOOK_PASSWORD = { secret_id = "password" } }
  }

  expect_failures = [var.secrets]
}

run "refuses_secret_s_full_name" {
  command = plan

  variables {
    secrets = { DAYBOOK_MONGODB_URI = { secret_id = "projects/p/secrets/uri" } }
  }

  expect_failures = [var.secrets]
}

run "refuses_written_secret_without_a_content" {
  command = plan

  variables {
    secrets = { DAYBOOK_MONGODB_URI = { secret_id = "uri", value_version = 1 } }
  }

  expect_failures = [var.secrets]
}

run "refuses_lease_that_outlasts_the_repeats" {
  command = plan

  variables {
    settings = { lease_seconds = 601 }
  }

  expect_failures = [var.settings]
}

run "refuses_chunk_of_an_odd_size" {
  command = plan

  variables {
    settings = { upload_chunk_bytes = 1000000 }
  }

  expect_failures = [var.settings]
}

run "refuses_pool_with_a_least_above_its_most" {
  command = plan

  variables {
    settings = { mongo_max_pool_size = 5, mongo_min_pool_size = 6 }
  }

  expect_failures = [var.settings]
}

run "refuses_no_retry_delays" {
  command = plan

  variables {
    settings = { retry_delays_seconds = [] }
  }

  expect_failures = [var.settings]
}

run "refuses_unknown_language" {
  command = plan

  variables {
    settings = { language = "de" }
  }

  expect_failures = [var.settings]
}

run "refuses_database_with_a_dot" {
  command = plan

  variables {
    settings = { database = "day.book" }
  }

  expect_failures = [var.settings]
}

run "refuses_csv_timeout_beyond_the_deadline" {
  command = plan

  variables {
    settings = { csv_timeout_seconds = 481 }
  }

  expect_failures = [var.settings]
}

run "refuses_multipart_beyond_what_drive_takes" {
  command = plan

  variables {
    settings = { multipart_limit_bytes = 5242881 }
  }

  expect_failures = [var.settings]
}

run "refuses_subnet_too_small" {
  command = plan

  variables {
    static_egress = { subnet_cidr = "10.8.0.0/27" }
  }

  expect_failures = [var.static_egress]
}

run "refuses_subnet_that_is_none" {
  command = plan

  variables {
    static_egress = { subnet_cidr = "10.8.0.0" }
  }

  expect_failures = [var.static_egress]
}

run "refuses_unlimited_attempts" {
  command = plan

  variables {
    tasks = { max_attempts = -1 }
  }

  expect_failures = [var.tasks]
}

run "refuses_too_many_attempts" {
  command = plan

  variables {
    tasks = { max_attempts = 101 }
  }

  expect_failures = [var.tasks]
}

run "refuses_no_dispatches" {
  command = plan

  variables {
    tasks = { max_concurrent_dispatches = 0 }
  }

  expect_failures = [var.tasks]
}

run "refuses_answers_kept_for_half_a_day" {
  command = plan

  variables {
    settings = { answer_days = 0.5 }
  }

  expect_failures = [var.settings]
}

run "refuses_other_invite_codes" {
  command = plan

  variables {
    settings = { ledger_invite_codes = "weak" }
  }

  expect_failures = [var.settings]
}

run "refuses_a_profile_with_an_impossible_name" {
  command = plan

  variables {
    profiles = { "Sales" = {} }
  }

  expect_failures = [var.profiles]
}

run "refuses_the_profile_daily_in_the_map" {
  command = plan

  variables {
    profiles = { daily = {} }
  }

  expect_failures = [var.profiles]
}

run "refuses_a_profile_without_a_cron_schedule" {
  command = plan

  variables {
    profiles = { sales = { cron = "daily" } }
  }

  expect_failures = [var.profiles]
}

run "refuses_a_profile_in_an_unknown_time_zone" {
  command = plan

  variables {
    profiles = { sales = { time_zone = "Bangkok" } }
  }

  expect_failures = [var.profiles]
}

run "refuses_a_schedule_in_a_profiles_toml" {
  command = plan

  variables {
    profiles = { sales = { toml = "cron = \"0 3 * * *\"" } }
  }

  expect_failures = [var.profiles]
}

run "refuses_profiles_given_twice" {
  command = plan

  variables {
    profiles = { sales = {} }
    settings = { profiles = "sm://profiles" }
  }

  expect_failures = [var.profiles]
}
