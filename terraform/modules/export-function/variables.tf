variable "drive_folder_id" {
  description = "The folder in a shared drive that the files go to: the last part of its address in Drive."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{10,}$", var.drive_folder_id))
    error_message = "drive_folder_id must be the folder's id alone, letters, digits, - and _: the last part of its address in Drive, not the address."
  }
}

variable "drive_subject" {
  description = "User to act for in Drive, by domain-wide delegation, where no shared drive can be had. Null: the runtime account is itself a member of the shared drive."
  type        = string
  default     = null

  validation {
    condition     = var.drive_subject == null || can(regex("^[^\\s@,:/]+@[^\\s@,:/]+\\.[^\\s@,:/]+$", var.drive_subject))
    error_message = "drive_subject must be an e-mail address."
  }
}

variable "function" {
  description = "Size of the function. The timeout is also the deadline of each scheduler job."
  type = object({
    concurrency     = optional(number, 8)
    cpu             = optional(string, "1")
    max_instances   = optional(number, 3)
    memory          = optional(string, "1Gi")
    timeout_seconds = optional(number, 540)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.function.concurrency >= 2 && var.function.concurrency <= 80 && floor(var.function.concurrency) == var.function.concurrency
    error_message = "function.concurrency must be a whole number from 2 to 80: a request that comes while another is worked on, a redelivery or /health, would get 429 with 1."
  }

  validation {
    condition     = contains(["1", "2"], var.function.cpu)
    error_message = "function.cpu must be \"1\" or \"2\": less than one does not go with several requests at once."
  }

  validation {
    condition     = var.function.max_instances >= 1 && var.function.max_instances <= 20 && floor(var.function.max_instances) == var.function.max_instances
    error_message = "function.max_instances must be a whole number from 1 to 20."
  }

  validation {
    condition     = contains(["512Mi", "1Gi", "2Gi", "4Gi"], var.function.memory)
    error_message = "function.memory must be 512Mi, 1Gi, 2Gi or 4Gi."
  }

  validation {
    condition     = var.function.timeout_seconds >= 60 && var.function.timeout_seconds <= 1800 && floor(var.function.timeout_seconds) == var.function.timeout_seconds
    error_message = "function.timeout_seconds must be a whole number from 60 to 1800: neither Cloud Scheduler nor Cloud Tasks waits longer for an answer."
  }

  validation {
    condition     = var.function.timeout_seconds >= var.settings.run_deadline_seconds + 30
    error_message = "function.timeout_seconds must exceed settings.run_deadline_seconds by at least 30: the request that is under way at the deadline may take that long."
  }
}

variable "ingress" {
  description = "From where the functions can be reached at all. Cloud Scheduler and Cloud Tasks of the same project count as internal; a load balancer of one's own needs ALLOW_INTERNAL_AND_GCLB, a call from a laptop ALLOW_ALL. Every caller needs the invoker role in any case."
  type        = string
  default     = "ALLOW_INTERNAL_ONLY"
  nullable    = false

  validation {
    condition     = contains(["ALLOW_ALL", "ALLOW_INTERNAL_AND_GCLB", "ALLOW_INTERNAL_ONLY"], var.ingress)
    error_message = "ingress must be ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB or ALLOW_ALL."
  }
}

variable "labels" {
  description = "Labels of everything that can have them, besides app = daybook."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "ledger_callers" {
  description = "Who may call which route of the ledger: route, written as in docs/ledger.md, to e-mail addresses of service accounts or people. What each route allows is in docs/security.md. Nobody else may call the ledger; groups do not work, since the ledger compares the address in the token."
  type        = map(set(string))
  default     = {}
  nullable    = false

  validation {
    condition     = !var.ledger_enabled || length(flatten([for accounts in var.ledger_callers : tolist(accounts)])) > 0
    error_message = "ledger_callers must name at least one account for a route once ledger_enabled is true: without it every account that can call the ledger could move every wallet."
  }

  validation {
    condition = alltrue([for route in keys(var.ledger_callers) : contains([
      "/invites",
      "/invites/{code}/accept",
      "/metrics",
      "/transactions/{transactionId}/reversals",
      "/transfers",
      "/users",
      "/wallets",
      "/wallets/{ownerUserId}",
      "/wallets/{ownerUserId}/credits",
      "/wallets/{ownerUserId}/debits",
      "/wallets/{ownerUserId}/transactions",
    ], route)])
    error_message = "ledger_callers must name routes of the ledger as docs/ledger.md writes them, such as /wallets/{ownerUserId}/credits."
  }

  validation {
    condition     = alltrue([for email in flatten([for accounts in var.ledger_callers : tolist(accounts)]) : can(regex("^[^\\s@,:/=]+@[^\\s@,:/=]+\\.[^\\s@,:/=]+$", email))])
    error_message = "ledger_callers must name accounts by e-mail address alone, without serviceAccount: or user: before it."
  }
}

variable "ledger_enabled" {
  description = "Whether the ledger is deployed, as a second function from the same source. Needs ledger_callers."
  type        = bool
  default     = false
  nullable    = false
}

variable "ledger_wallets" {
  description = "Whose wallets each account may move and read: e-mail address to users' ids, or the beginning of ids and *. Empty: every account of ledger_callers every wallet."
  type        = map(set(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for account in keys(var.ledger_wallets) : contains(flatten([for accounts in var.ledger_callers : tolist(accounts)]), account)])
    error_message = "ledger_wallets must name accounts that ledger_callers lets in."
  }

  validation {
    condition     = alltrue([for owners in var.ledger_wallets : length(owners) > 0 && alltrue([for owner in owners : can(regex("^([0-9a-f]{24}|[0-9a-f]{0,23}\\*)$", owner))])])
    error_message = "ledger_wallets must give each account users' ids of 24 hexadecimal digits in lower case, or the beginning of ids and *."
  }
}

variable "metrics_readers" {
  description = "E-mail addresses of the service accounts that may read /metrics."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.metrics_readers : can(regex("^[^\\s@,:/]+@[^\\s@,:/]+\\.gserviceaccount\\.com$", email))])
    error_message = "metrics_readers must be e-mail addresses of service accounts."
  }
}

variable "name" {
  description = "Name of the function, and the beginning of all other names."
  type        = string
  default     = "daybook"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 20 lower-case letters, digits and hyphens and begin with a letter: a service account's id, the name and -scheduler, ends at 30."
  }
}

variable "operator_cli" {
  description = "Whether the operators may run the command line against the database: they read the service's settings and act as the function's account, which reads its secrets and writes its files. MongoDB must let their address in as well."
  type        = bool
  default     = false
  nullable    = false
}

variable "operators" {
  description = "E-mail addresses of the people, or service accounts, that may call the operator's routes, run the jobs by hand and read the logs. No groups: the function compares the address in the caller's token."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.operators : can(regex("^[^\\s@,:/]+@[^\\s@,:/]+\\.[^\\s@,:/]+$", email))])
    error_message = "operators must be e-mail addresses, without user: or serviceAccount:."
  }
}

variable "page_domain" {
  description = "Domain at which Identity-Aware Proxy opens the status page to operators and page_readers. Needs ingress ALLOW_INTERNAL_AND_GCLB."
  type        = string
  default     = null

  validation {
    condition     = var.page_domain == null || can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.page_domain))
    error_message = "page_domain must be a domain in lower case, such as daybook.example.com."
  }

  validation {
    condition     = var.page_domain == null || var.ingress != "ALLOW_INTERNAL_ONLY"
    error_message = "With page_domain, ingress must let the load balancer in: ALLOW_INTERNAL_AND_GCLB."
  }
}

variable "page_readers" {
  description = "E-mail addresses of the people who may read the status page, and do nothing on it. The operators may anyway."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.page_readers : can(regex("^[^\\s@,:/=]+@[^\\s@,:/=]+\\.[^\\s@,:/=]+$", email))])
    error_message = "page_readers must be e-mail addresses, without user: or serviceAccount:."
  }
}

variable "page_url" {
  description = "Where people open the status page: alerts and receipts link to the day there."
  type        = string
  default     = null

  validation {
    condition     = var.page_url == null || can(regex("^https?://[^\\s?#]+$", var.page_url))
    error_message = "page_url must be an http:// or https:// address without ? and #."
  }
}

variable "paused" {
  description = "Whether the batch, its dead man's switch and the audit wait, while Daybook is set up or another application still delivers. Jobs can be run by hand all the same."
  type        = bool
  default     = false
  nullable    = false
}

variable "profiles" {
  description = "Profiles beside `daily`, by name (docs/profiles.md): when each is due, in schedules.time_zone unless it has its own, and its other keys as TOML. They become DAYBOOK_PROFILES, and each distinct time one job that calls every profile due then. For a change of `daily` itself, or profiles in a file or a secret, settings.profiles is DAYBOOK_PROFILES as it is."
  type = map(object({
    cron      = optional(string)
    time_zone = optional(string)
    toml      = optional(string, "")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.profiles) : can(regex("^[a-z0-9-]{1,40}$", name)) && name != "daily"])
    error_message = "profiles: a name has 1 to 40 of a-z, 0-9 and -, and is not daily."
  }

  validation {
    condition     = alltrue([for profile in values(var.profiles) : profile.cron == null || can(regex(local.cron_pattern, profile.cron))])
    error_message = "profiles: each cron must be a cron schedule of five fields: minute, hour, day of month, month, day of week."
  }

  validation {
    condition     = alltrue([for profile in values(var.profiles) : profile.time_zone == null || can(regex("^(UTC|Etc/UTC|(Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)/[A-Z][A-Za-z_-]+(/[A-Z][A-Za-z_-]+)?)$", profile.time_zone))])
    error_message = "profiles: each time_zone must be an IANA time zone such as Asia/Bangkok."
  }

  validation {
    condition     = length(var.profiles) == 0 || var.settings.profiles == null
    error_message = "profiles and settings.profiles both give DAYBOOK_PROFILES: use one of them."
  }

  validation {
    condition     = alltrue([for profile in values(var.profiles) : !can(regex("(?m)^\\s*(\\[[^\\[]|cron\\s*=|time_zone\\s*=)", profile.toml))])
    error_message = "profiles: toml has a profile's other keys, without the table's own header, cron and time_zone; columns are [[NAME.columns]]."
  }
}

variable "project_id" {
  description = "The Google Cloud project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id, 6 to 30 lower-case letters, digits and hyphens, neither its number nor its display name."
  }
}

variable "region" {
  description = "Region of the functions, the queue and the jobs."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region must be a region such as asia-southeast1, not a zone."
  }
}

variable "runbook" {
  description = "Where the runbook can be read: a path in the repository or an address; Daybook's messages add # and their chapter."
  type        = string
  default     = "docs/runbook.md"
  nullable    = false

  validation {
    condition     = can(regex("^[^\\s#]+$", var.runbook))
    error_message = "runbook must be a path or an address without # and white space."
  }
}

variable "schedules" {
  description = "When the jobs run, as five cron fields in time_zone. The dead man's switch must come after the last retry could have ended."
  type = object({
    audit     = optional(string, "30 6 * * *")
    batch     = optional(string, "0 18 * * *")
    sweep     = optional(string, "30 3 * * *")
    time_zone = optional(string, "Asia/Bangkok")
    watchdog  = optional(string, "0 20 * * *")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for schedule in [var.schedules.audit, var.schedules.batch, var.schedules.sweep, var.schedules.watchdog] : can(regex(local.cron_pattern, schedule))])
    error_message = "schedules.audit, .batch, .sweep and .watchdog must be cron schedules of five fields: minute, hour, day of month, month, day of week."
  }

  validation {
    condition     = can(regex("^(UTC|Etc/UTC|(Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)/[A-Z][A-Za-z_-]+(/[A-Z][A-Za-z_-]+)?)$", var.schedules.time_zone))
    error_message = "schedules.time_zone must be an IANA time zone such as Asia/Bangkok."
  }
}

variable "secret_values" {
  description = "Contents of the secrets that have a value_version, by variable. Never stored in state or plan, so needed at every plan and apply; better given as TF_VAR_secret_values than in a file."
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true
  nullable    = false
}

variable "secrets" {
  description = "The secret that holds each secret variable. With a value_version, Terraform makes the secret and writes secret_values into it, anew each time the number is raised; without one, it was made outside and exists."
  type = map(object({
    secret_id     = string
    value_version = optional(number)
    version       = optional(string, "latest")
  }))
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.secrets), ["DAYBOOK_ALERT_URLS", "DAYBOOK_MONGODB_URI", "DAYBOOK_RECEIPT_URLS"])) == 0 && contains(keys(var.secrets), "DAYBOOK_MONGODB_URI")
    error_message = "secrets must have DAYBOOK_MONGODB_URI, may have DAYBOOK_ALERT_URLS and DAYBOOK_RECEIPT_URLS, and no other key."
  }

  validation {
    condition     = alltrue([for secret in values(var.secrets) : can(regex("^[A-Za-z0-9_-]{1,255}$", secret.secret_id))])
    error_message = "secrets: each secret_id must be a secret's id alone, letters, digits, - and _."
  }

  validation {
    condition     = alltrue([for secret in values(var.secrets) : can(regex("^(latest|[1-9][0-9]*)$", secret.version))])
    error_message = "secrets: each version must be latest or a number."
  }

  validation {
    condition     = alltrue([for name, secret in var.secrets : secret.value_version == null || try(length(trimspace(var.secret_values[name])) > 0, false)])
    error_message = "secrets: one that has a value_version needs its content in secret_values, at every plan and apply. Leave value_version out for a secret that was made outside."
  }
}

variable "settings" {
  description = "The function's settings; each is the environment variable of that name, described in docs/configuration.md."
  type = object({
    answer_days           = optional(number)
    breaker_failures      = optional(number, 3)
    breaker_reset_seconds = optional(number, 900)
    csv_timeout_seconds   = optional(number, 30)
    database              = optional(string, "daybook")
    drive_endpoint        = optional(string)
    language              = optional(string, "en")
    lease_seconds         = optional(number, 60)
    ledger_accounts = optional(object({
      wallets = optional(object({ code = string, name = string }))
      others  = optional(object({ code = string, name = string }))
      types   = optional(map(object({ code = string, name = string })))
    }))
    ledger_invite_codes               = optional(string, "random")
    ledger_profile                    = optional(string, "daily")
    mongo_max_pool_size               = optional(number, 50)
    mongo_min_pool_size               = optional(number)
    mongo_server_selection_timeout_ms = optional(number, 5000)
    mongo_socket_timeout_ms           = optional(number, 45000)
    multipart_limit_bytes             = optional(number, 5242880)
    profiles                          = optional(string)
    retry_delays_seconds              = optional(list(number), [300, 900, 2700])
    run_deadline_seconds              = optional(number, 480)
    tasks_endpoint                    = optional(string)
    upload_chunk_bytes                = optional(number, 8388608)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.settings.answer_days == null || try(var.settings.answer_days >= 1 && var.settings.answer_days <= 36500 && floor(var.settings.answer_days) == var.settings.answer_days, false)
    error_message = "settings.answer_days must be a whole number from 1 to 36500."
  }

  validation {
    condition     = var.settings.breaker_failures >= 1 && var.settings.breaker_reset_seconds > 0
    error_message = "settings.breaker_failures must be at least 1 and settings.breaker_reset_seconds above 0."
  }

  validation {
    condition     = can(regex("^[^/\\\\. \"$*<>:|?]{1,63}$", var.settings.database))
    error_message = "settings.database must be a database name: at most 63 characters, none of /\\. \"$*<>:|?"
  }

  validation {
    condition     = contains(["en", "th"], var.settings.language)
    error_message = "settings.language must be en or th."
  }

  validation {
    condition     = contains(["random", "chosen"], var.settings.ledger_invite_codes)
    error_message = "settings.ledger_invite_codes must be random or chosen."
  }

  validation {
    condition     = var.settings.lease_seconds >= 15 && var.settings.lease_seconds <= 600
    error_message = "settings.lease_seconds must be from 15 to 600: the repeats of the scheduler must outlast the lease of a run that died."
  }

  validation {
    condition     = var.settings.csv_timeout_seconds > 0 && var.settings.csv_timeout_seconds <= var.settings.run_deadline_seconds
    error_message = "settings.csv_timeout_seconds must be above 0 and at most settings.run_deadline_seconds."
  }

  validation {
    condition     = coalesce(var.settings.mongo_min_pool_size, 0) <= var.settings.mongo_max_pool_size
    error_message = "settings.mongo_min_pool_size must not exceed settings.mongo_max_pool_size."
  }

  validation {
    condition     = var.settings.multipart_limit_bytes >= 0 && var.settings.multipart_limit_bytes <= 5242880
    error_message = "settings.multipart_limit_bytes must be from 0 to 5242880: Drive takes no larger file in one request."
  }

  validation {
    condition     = length(var.settings.retry_delays_seconds) > 0 && alltrue([for delay in var.settings.retry_delays_seconds : delay >= 1 && delay <= 2592000 && floor(delay) == delay])
    error_message = "settings.retry_delays_seconds must list whole seconds from 1 to 2592000: Cloud Tasks schedules no task further ahead than 30 days."
  }

  validation {
    condition     = var.settings.run_deadline_seconds >= 30 && var.settings.run_deadline_seconds <= 1770
    error_message = "settings.run_deadline_seconds must be from 30 to 1770."
  }

  validation {
    condition     = var.settings.upload_chunk_bytes >= 262144 && var.settings.upload_chunk_bytes % 262144 == 0
    error_message = "settings.upload_chunk_bytes must be a multiple of 262144."
  }
}

variable "source_root" {
  description = "The folder that contains main.py. Null: the root of the repository that contains this module."
  type        = string
  default     = null
}

variable "static_egress" {
  description = "With an object, all traffic of the functions leaves through one address that stays the same, for an allow-list such as MongoDB Atlas has one. Costs a Cloud NAT. Null: Google's addresses, which change. Cloud Run takes two addresses of the subnet for each instance, and more while a new version comes: with many instances give it a larger one."
  type = object({
    subnet_cidr = optional(string, "10.8.0.0/26")
  })
  default = null

  validation {
    condition     = var.static_egress == null || try(can(cidrhost(var.static_egress.subnet_cidr, 0)) && tonumber(split("/", var.static_egress.subnet_cidr)[1]) <= 26, false)
    error_message = "static_egress.subnet_cidr must be an IPv4 range of /26 or larger."
  }
}

variable "tasks" {
  description = "The Cloud Tasks queue. max_attempts counts deliveries of one task that got no 2xx answer, not attempts at the batch."
  type = object({
    max_attempts              = optional(number, 20)
    max_concurrent_dispatches = optional(number, 4)
    max_dispatches_per_second = optional(number, 2)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.tasks.max_attempts >= 5 && var.tasks.max_attempts <= 100 && floor(var.tasks.max_attempts) == var.tasks.max_attempts
    error_message = "tasks.max_attempts must be a whole number from 5 to 100: deliveries must outlast a lease, and must end."
  }

  validation {
    condition     = var.tasks.max_concurrent_dispatches >= 1 && var.tasks.max_dispatches_per_second > 0
    error_message = "tasks.max_concurrent_dispatches must be at least 1 and tasks.max_dispatches_per_second above 0."
  }
}
