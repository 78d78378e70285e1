locals {
  # One field each, as both Cloud Scheduler and Daybook read it.
  cron_values = [
    "[0-5]?[0-9]",
    "([01]?[0-9]|2[0-3])",
    "(0?[1-9]|[12][0-9]|3[01])",
    "(0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    "([0-7]|sun|mon|tue|wed|thu|fri|sat)",
  ]
  cron_items   = [for value in local.cron_values : "(${value}|(\\*|${value}-${value})(/[1-9][0-9]?)?)"]
  cron_pattern = "^(?i:${join(" ", [for item in local.cron_items : "${item}(,${item})*"])})$"

  profiles = length(var.profiles) == 0 ? var.settings.profiles : join("\n", [
    for name, profile in var.profiles : join("\n", compact([
      "[${name}]",
      profile.cron == null ? "" : "cron = ${jsonencode(profile.cron)}",
      profile.time_zone == null ? "" : "time_zone = ${jsonencode(profile.time_zone)}",
      trimspace(profile.toml),
    ]))
  ])

  # With profiles, each job calls all of them: /run those that are due at that time. So one
  # job for each distinct time is enough, however many profiles share it.
  several   = length(var.profiles) > 0 || var.settings.profiles != null
  body      = local.several ? jsonencode({ profile = "*" }) : "{}"
  own_times = [for profile in values(var.profiles) : [coalesce(profile.cron, var.schedules.batch), coalesce(profile.time_zone, var.schedules.time_zone)]]
  jobs_of_profiles = {
    for time in setsubtract(local.own_times, [[var.schedules.batch, var.schedules.time_zone]]) :
    "batch-${substr(sha256(join("\n", time)), 0, 8)}" => {
      path        = "/run"
      paused      = var.paused
      schedule    = time[0]
      time_zone   = time[1]
      description = "Exports the entries of the profiles that are due at this time"
    }
  }

  jobs = {
    audit = {
      path        = "/audit"
      paused      = var.paused
      schedule    = var.schedules.audit
      description = "Checks that delivered files and their entries have not changed"
    }
    batch = {
      path        = "/run"
      paused      = var.paused
      schedule    = var.schedules.batch
      description = "Exports the day's journal entries to Google Drive"
    }
    sweep = {
      path        = "/sweep"
      paused      = false
      schedule    = var.schedules.sweep
      description = "Watches orphans, removes stray manifest parts, finishes marking"
    }
    watchdog = {
      path        = "/watchdog"
      paused      = var.paused
      schedule    = var.schedules.watchdog
      description = "The dead man's switch: alerts when the day's batch is not done"
    }
  }

  # Paused: an operator runs them by hand, from a phone if need be. Were one resumed by
  # mistake, it would not run before the first of January.
  jobs_by_hand = {
    doctor = {
      path        = "/admin/doctor"
      paused      = true
      schedule    = "0 0 1 1 *"
      description = "By hand: says what is wrong with the set-up"
    }
    migrate = {
      path        = "/admin/migrate"
      paused      = true
      schedule    = "0 0 1 1 *"
      description = "By hand: creates the database's indexes; after the first deployment, and when the doctor says so"
    }
    retry = {
      path        = "/admin/retry"
      paused      = true
      schedule    = "0 0 1 1 *"
      description = "By hand: tries the latest day that is due once more"
    }
  }

  # One for each profile, since a retry is of one profile's day. Profiles in settings.profiles
  # are not known here: the command and the status page retry theirs.
  retries_of_profiles = {
    for name in keys(var.profiles) : "retry-${name}" => {
      path        = "/admin/retry"
      paused      = true
      schedule    = "0 0 1 1 *"
      time_zone   = coalesce(var.profiles[name].time_zone, var.schedules.time_zone)
      body        = jsonencode({ profile = name })
      description = "By hand: tries the latest day of ${name} that is due once more"
    }
  }

  by_hand = concat(keys(local.jobs_by_hand), keys(local.retries_of_profiles))
}

resource "google_cloud_scheduler_job" "default" {
  for_each = merge(local.jobs, local.jobs_of_profiles, local.jobs_by_hand, local.retries_of_profiles)

  project          = var.project_id
  region           = var.region
  name             = "${var.name}-${each.key}"
  description      = each.value.description
  schedule         = each.value.schedule
  time_zone        = try(each.value.time_zone, var.schedules.time_zone)
  paused           = each.value.paused
  attempt_deadline = "${var.function.timeout_seconds}s"

  http_target {
    http_method = "POST"
    uri         = "${local.service_url}${each.value.path}"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(try(each.value.body, contains(local.by_hand, each.key) ? "{}" : local.body))

    oidc_token {
      service_account_email = local.emails.scheduler
      audience              = local.service_url
    }
  }

  # After 30, 60, 120, 240 and 300 s: twelve minutes in all, so that a lease whose run died
  # has ended before the last. An operator who runs a job by hand sees the answer and decides.
  retry_config {
    retry_count          = contains(local.by_hand, each.key) ? 0 : 5
    min_backoff_duration = "30s"
    max_backoff_duration = "300s"
    max_doublings        = 3
    # No limit of its own: Cloud Scheduler repeats until both limits are reached.
    max_retry_duration = "0s"
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}
