module "export_function" {
  source = "../modules/export-function"

  drive_folder_id = var.drive_folder_id
  drive_subject   = var.drive_subject
  function        = var.function
  ingress         = var.ingress
  labels          = { environment = var.environment }
  ledger_callers  = var.ledger_callers
  ledger_enabled  = var.ledger_enabled
  ledger_wallets  = var.ledger_wallets
  metrics_readers = var.metrics_readers
  operator_cli    = var.operator_cli
  operators       = var.operators
  page_domain     = var.page_domain
  page_readers    = var.page_readers
  page_url        = var.page_url
  paused          = var.paused
  profiles        = var.profiles
  project_id      = var.project_id
  region          = var.region
  runbook         = var.runbook
  schedules       = var.schedules
  secret_values   = var.secret_values
  secrets         = var.secrets
  settings        = var.settings
  static_egress   = var.static_egress ? { subnet_cidr = var.egress_subnet_cidr } : null
  tasks           = var.tasks
}

module "observability" {
  source = "../modules/observability"

  function_name             = module.export_function.function_name
  ingress                   = module.export_function.ingress
  job_names                 = module.export_function.job_names
  labels                    = { environment = var.environment }
  ledger_name               = module.export_function.ledger_name
  limits                    = var.limits
  notification_channels     = var.notification_channels
  notification_emails       = var.notification_emails
  probe_minutes             = var.probe_minutes
  project_id                = module.export_function.project_id
  queue_name                = module.export_function.queue_name
  region                    = module.export_function.region
  runbook                   = var.runbook
  scheduler_service_account = module.export_function.scheduler_service_account
  service_url               = module.export_function.service_url
  time_zone                 = module.export_function.schedules.time_zone
}
