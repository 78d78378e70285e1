locals {
  # Cloud Run's deterministic address: known before the function is, which needs it itself.
  # https://cloud.google.com/run/docs/triggering/https-request#deterministic
  service_url = "https://${var.name}-${data.google_project.default.number}.${var.region}.run.app"

  ledger_accounts = try(jsonencode({
    for name, value in var.settings.ledger_accounts : name => value if value != null
  }), null)

  # What both functions read. A null one is left out.
  common_environment = {
    DAILY_BATCH_CRON                          = var.schedules.batch
    DAILY_BATCH_TIMEZONE                      = var.schedules.time_zone
    DAYBOOK_DATABASE                          = var.settings.database
    DAYBOOK_DESTINATION                       = "drive://${var.drive_folder_id}"
    DAYBOOK_LANGUAGE                          = var.settings.language
    DAYBOOK_LEDGER_ACCOUNTS                   = local.ledger_accounts
    DAYBOOK_LEDGER_INVITE_CODES               = var.settings.ledger_invite_codes
    DAYBOOK_LEDGER_PROFILE                    = var.settings.ledger_profile
    DAYBOOK_MONGO_MAX_POOL_SIZE               = var.settings.mongo_max_pool_size
    DAYBOOK_MONGO_MIN_POOL_SIZE               = var.settings.mongo_min_pool_size
    DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS = var.settings.mongo_server_selection_timeout_ms
    DAYBOOK_MONGO_SOCKET_TIMEOUT_MS           = var.settings.mongo_socket_timeout_ms
    DAYBOOK_PROFILES                          = local.profiles
    GOOGLE_CLOUD_PROJECT                      = var.project_id
    # functions-framework's own: as many requests at once as Cloud Run sends to an instance.
    THREADS = var.function.concurrency
  }

  export_environment = {
    DAYBOOK_ANSWER_DAYS           = var.settings.answer_days
    DAYBOOK_BREAKER_FAILURES      = var.settings.breaker_failures
    DAYBOOK_BREAKER_RESET_SECONDS = var.settings.breaker_reset_seconds
    DAYBOOK_CALLERS               = local.callers
    DAYBOOK_CSV_TIMEOUT_SECONDS   = var.settings.csv_timeout_seconds
    DAYBOOK_DRIVE_ENDPOINT        = var.settings.drive_endpoint
    DAYBOOK_DRIVE_SUBJECT         = var.drive_subject
    DAYBOOK_LEASE_SECONDS         = var.settings.lease_seconds
    DAYBOOK_MULTIPART_LIMIT_BYTES = var.settings.multipart_limit_bytes
    DAYBOOK_PAGE_URL              = local.page_url
    DAYBOOK_RETRY_DELAYS_SECONDS  = join(",", var.settings.retry_delays_seconds)
    DAYBOOK_RUNBOOK_URL           = var.runbook
    DAYBOOK_RUN_DEADLINE_SECONDS  = var.settings.run_deadline_seconds
    DAYBOOK_SERVICE_URL           = local.service_url
    DAYBOOK_TASKS_ENDPOINT        = var.settings.tasks_endpoint
    DAYBOOK_TASKS_QUEUE           = google_cloud_tasks_queue.default.id
    DAYBOOK_TASKS_SERVICE_ACCOUNT = local.emails.tasks
    DAYBOOK_UPLOAD_CHUNK_BYTES    = var.settings.upload_chunk_bytes
  }

  environment = {
    for name, value in merge(local.common_environment, local.export_environment) :
    name => tostring(value) if value != null
  }

  # Set but empty, either would keep the ledger from starting.
  ledger_only_environment = {
    DAYBOOK_CALLERS        = local.ledger_callers
    DAYBOOK_LEDGER_WALLETS = length(var.ledger_wallets) == 0 ? null : local.ledger_wallets
  }

  ledger_environment = {
    for name, value in merge(local.common_environment, local.ledger_only_environment) :
    name => tostring(value) if value != null
  }
}
