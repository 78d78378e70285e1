variable "drive_folder_id" {
  description = "The folder in a shared drive that the files go to: the last part of its address in Drive."
  type        = string
}

variable "drive_subject" {
  description = "User to act for in Drive, by domain-wide delegation, where no shared drive can be had."
  type        = string
  default     = null
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

variable "metrics_readers" {
  description = "E-mail addresses of the service accounts that may read /metrics."
  type        = set(string)
  default     = []
}

variable "notification_emails" {
  description = "E-mail addresses that get every alert."
  type        = set(string)
  default     = []
}

variable "operators" {
  description = "E-mail addresses of those who may run jobs by hand and read the logs."
  type        = set(string)
  default     = []
}

variable "paused" {
  description = "Whether the batch and its dead man's switch wait: true until everything is set up, and while another application still delivers."
  type        = bool
  default     = false
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

variable "static_egress" {
  description = "Whether all traffic leaves through one address that stays the same, for an allow-list."
  type        = bool
  default     = false
}
