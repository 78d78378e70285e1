locals {
  scheduler_email = local.emails.scheduler
  tasks_email     = local.emails.tasks

  # Who may call which route. The invoker role alone opens every route, so the function
  # compares the address in the token that Cloud Run has verified. The health routes are
  # not listed: they are open to each caller with the role.
  # The queue calls what it is given: retries at /tasks/run, and one profile of a fan-out.
  callers_by_route = {
    "/"              = setunion([local.scheduler_email], var.operators)
    "/run"           = setunion([local.scheduler_email, local.tasks_email], var.operators)
    "/tasks/run"     = toset([local.tasks_email])
    "/exports"       = var.operators
    "/audit"         = setunion([local.scheduler_email, local.tasks_email], var.operators)
    "/watchdog"      = setunion([local.scheduler_email], var.operators)
    "/sweep"         = setunion([local.scheduler_email, local.tasks_email], var.operators)
    "/admin/retry"   = setunion([local.scheduler_email], var.operators)
    "/admin/doctor"  = setunion([local.scheduler_email], var.operators)
    "/admin/migrate" = setunion([local.scheduler_email], var.operators)
    "/admin/release" = var.operators
    "/admin/requeue" = var.operators
    "/admin/verify"  = var.operators
    "/page"          = setunion(var.page_readers, var.operators)
    "/metrics"       = setunion(var.metrics_readers, var.operators)
  }

  callers = join(",", flatten([
    for route, accounts in local.callers_by_route : [for account in sort(accounts) : "${route}=${account}"]
  ]))

  ledger_wallets = join(",", flatten([
    for account, owners in var.ledger_wallets : [for owner in sort(owners) : "${account}=${owner}"]
  ]))

  # The ledger's own, from the same setting of its own function.
  ledger_callers = join(",", flatten([
    for route, accounts in var.ledger_callers : [for account in sort(accounts) : "${route}=${account}"]
  ]))
}
