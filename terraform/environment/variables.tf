# What is left out here, or null, has the module's default; the modules check the values. An
# object's attribute that does not exist is ignored by Terraform, and found by `make test`.

variable "drive_folder_id" {
  description = "The folder in a shared drive that the files go to: the last part of its address in Drive."
  type        = string
}

variable "drive_subject" {
  description = "User to act for in Drive, by domain-wide delegation, where no shared drive can be had."
  type        = string
  default     = null
}

variable "egress_subnet_cidr" {
  description = "Range of the subnet that static_egress makes, /26 or larger: two addresses for each of function.max_instances, and as many again while a new version comes. Null: 10.8.0.0/26."
  type        = string
  default     = null
}

variable "environment" {
  description = "Name of the environment: a label of everything, and the end of the state's prefix, daybook/ENVIRONMENT."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.environment))
    error_message = "environment must have 2 to 20 lower-case letters, digits and hyphens and begin with a letter, such as staging or prod."
  }
}

variable "function" {
  description = "Size of the functions. The timeout is also the deadline of each scheduler job."
  type = object({
    concurrency     = optional(number)
    cpu             = optional(string)
    max_instances   = optional(number)
    memory          = optional(string)
    timeout_seconds = optional(number)
  })
  default = {}
}

variable "ingress" {
  description = "From where the functions can be reached: ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB or ALLOW_ALL."
  type        = string
  default     = "ALLOW_INTERNAL_ONLY"
}

variable "ledger_callers" {
  description = "Who may call which route of the ledger: route to e-mail addresses; needed with ledger_enabled."
  type        = map(set(string))
  default     = {}
}

variable "ledger_enabled" {
  description = "Whether the ledger is deployed too."
  type        = bool
  default     = false
}

variable "ledger_wallets" {
  description = "Whose wallets each account of ledger_callers may move and read; empty: every wallet."
  type        = map(set(string))
  default     = {}
}

variable "limits" {
  description = "Above which a day is an alert: the seconds of its last attempt, on two days in a row, and the entries in its file."
  type = object({
    duration_seconds = optional(number)
    entries          = optional(number)
  })
  default = {}
}

variable "metrics_readers" {
  description = "E-mail addresses of the service accounts that may read /metrics."
  type        = set(string)
  default     = []
}

variable "notification_channels" {
  description = "Channels that exist already and get every alert, too (Slack, PagerDuty, the Cloud app): projects/P/notificationChannels/N."
  type        = set(string)
  default     = []
}

variable "notification_emails" {
  description = "E-mail addresses that get every alert."
  type        = set(string)
  default     = []
}

variable "operator_cli" {
  description = "Whether the operators may run the command line against the database, as the function's account."
  type        = bool
  default     = false
  nullable    = false
}

variable "operators" {
  description = "E-mail addresses of those who may run jobs by hand and read the logs."
  type        = set(string)
  default     = []
}

variable "page_domain" {
  description = "Domain at which Identity-Aware Proxy opens the status page. Needs ingress ALLOW_INTERNAL_AND_GCLB."
  type        = string
  default     = null
}

variable "page_readers" {
  description = "E-mail addresses of the people who may read the status page, and do nothing on it."
  type        = set(string)
  default     = []
}

variable "page_url" {
  description = "Where people open the status page: alerts and receipts link to the day there."
  type        = string
  default     = null
}

variable "paused" {
  description = "Whether the batch, its dead man's switch and the audit wait: true until everything is set up, and while another application still delivers."
  type        = bool
  default     = false
}

variable "probe_minutes" {
  description = "How often the function's health is asked for: 1, 5, 10 or 15. Two failed calls in a row are an alert."
  type        = number
  default     = null
}

variable "profiles" {
  description = "Profiles beside `daily`, by name: when each is due, and its other keys of docs/profiles.md as TOML."
  type = map(object({
    cron      = optional(string)
    time_zone = optional(string)
    toml      = optional(string)
  }))
  default = {}
}

variable "project_id" {
  description = "The Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "asia-southeast1"
}

variable "runbook" {
  description = "Where docs/runbook.md can be read, for the links in alerts; a path is no link on a phone."
  type        = string
  default     = "docs/runbook.md"
}

variable "schedules" {
  description = "When the jobs run, as five cron fields in time_zone. The dead man's switch, watchdog, must come after the last retry could have ended."
  type = object({
    audit     = optional(string)
    batch     = optional(string)
    sweep     = optional(string)
    time_zone = optional(string)
    watchdog  = optional(string)
  })
  default = {}
}

variable "secret_values" {
  description = "Contents of the secrets that have a value_version; as TF_VAR_secret_values, never in a file."
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true
}

variable "secrets" {
  description = "The secret that holds each secret variable; without a value_version it was made outside."
  type = map(object({
    secret_id     = string
    value_version = optional(number)
    version       = optional(string, "latest")
  }))
  default = { DAYBOOK_MONGODB_URI = { secret_id = "daybook-mongodb-uri" } }
}

variable "settings" {
  description = "The functions' settings; each is the environment variable of that name, described in docs/configuration.md."
  type = object({
    answer_days           = optional(number)
    breaker_failures      = optional(number)
    breaker_reset_seconds = optional(number)
    csv_timeout_seconds   = optional(number)
    database              = optional(string)
    drive_endpoint        = optional(string)
    language              = optional(string)
    lease_seconds         = optional(number)
    ledger_accounts = optional(object({
      wallets = optional(object({ code = string, name = string }))
      others  = optional(object({ code = string, name = string }))
      types   = optional(map(object({ code = string, name = string })))
    }))
    ledger_invite_codes               = optional(string)
    ledger_profile                    = optional(string)
    mongo_max_pool_size               = optional(number)
    mongo_min_pool_size               = optional(number)
    mongo_server_selection_timeout_ms = optional(number)
    mongo_socket_timeout_ms           = optional(number)
    multipart_limit_bytes             = optional(number)
    profiles                          = optional(string)
    retry_delays_seconds              = optional(list(number))
    run_deadline_seconds              = optional(number)
    tasks_endpoint                    = optional(string)
    upload_chunk_bytes                = optional(number)
  })
  default = {}
}

variable "static_egress" {
  description = "Whether all traffic leaves through one address that stays the same, for an allow-list."
  type        = bool
  default     = false
}

variable "tasks" {
  description = "The Cloud Tasks queue. max_attempts counts deliveries of one task that got no 2xx answer, not attempts at the batch."
  type = object({
    max_attempts              = optional(number)
    max_concurrent_dispatches = optional(number)
    max_dispatches_per_second = optional(number)
  })
  default = {}
}
