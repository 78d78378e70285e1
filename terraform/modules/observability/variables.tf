variable "function_name" {
  description = "Name of the function, and of its Cloud Run service."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}[a-z0-9]$", var.function_name))
    error_message = "function_name must be the function's name alone, 4 to 20 lower-case letters, digits and hyphens."
  }
}

variable "ingress" {
  description = "From where the function can be reached, which decides how its health is probed: an uptime check comes from outside and only gets through ALLOW_ALL, so with the others a scheduler job calls."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["ALLOW_ALL", "ALLOW_INTERNAL_AND_GCLB", "ALLOW_INTERNAL_ONLY"], var.ingress)
    error_message = "ingress must be ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB or ALLOW_ALL."
  }
}

variable "job_names" {
  description = "Names of the scheduler jobs whose failed calls are alerts: audit, batch, sweep and watchdog. Others may be given, too; nobody is woken for what an operator runs by hand."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(setsubtract(["audit", "batch", "sweep", "watchdog"], keys(var.job_names))) == 0
    error_message = "job_names must have audit, batch, sweep and watchdog."
  }
}

variable "labels" {
  description = "Labels of the alert policies and the channels, besides app = daybook."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "ledger_name" {
  description = "Name of the ledger's function, whose errors are alerts, too. Null: there is none."
  type        = string
  default     = null
}

variable "limits" {
  description = "Above which a day is an alert: the seconds of its last attempt, on two days in a row, and the entries in its file."
  type = object({
    duration_seconds = optional(number, 25)
    entries          = optional(number, 4000)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.limits.duration_seconds > 0 && var.limits.entries > 0
    error_message = "limits.duration_seconds and limits.entries must be above 0."
  }
}

variable "notification_channels" {
  description = "Channels that exist already and get every alert, too (Slack, PagerDuty, the Cloud app): projects/P/notificationChannels/N."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/\\s]+/notificationChannels/[0-9]+$", channel))])
    error_message = "notification_channels must read projects/P/notificationChannels/N."
  }
}

variable "notification_emails" {
  description = "E-mail addresses that get every alert."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.notification_emails : can(regex("^[^\\s@,:/]+@[^\\s@,:/]+\\.[^\\s@,:/]+$", email))])
    error_message = "notification_emails must be e-mail addresses."
  }
}

variable "probe_minutes" {
  description = "How often the function's health is asked for. Two failed calls in a row are an alert."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = contains([1, 5, 10, 15], var.probe_minutes)
    error_message = "probe_minutes must be 1, 5, 10 or 15: what an uptime check offers."
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

variable "queue_name" {
  description = "Name of the Cloud Tasks queue."
  type        = string
}

variable "region" {
  description = "Region of the function, the queue and the jobs."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region must be a region such as asia-southeast1, not a zone."
  }
}

variable "runbook" {
  description = "Where the runbook can be read: a path in the repository or an address; alerts add # and their chapter."
  type        = string
  default     = "docs/runbook.md"
  nullable    = false

  validation {
    condition     = can(regex("^[^\\s#]+$", var.runbook))
    error_message = "runbook must be a path or an address without # and white space."
  }
}

variable "scheduler_service_account" {
  description = "E-mail address of the account that Cloud Scheduler calls as; it has the invoker role."
  type        = string

  validation {
    condition     = can(regex("^[^\\s@]+@[^\\s@]+\\.gserviceaccount\\.com$", var.scheduler_service_account))
    error_message = "scheduler_service_account must be a service account's e-mail address."
  }
}

variable "service_url" {
  description = "Address of the function, without a path."
  type        = string

  validation {
    condition     = can(regex("^https://[^/\\s]+$", var.service_url))
    error_message = "service_url must be https:// and a host, without a path."
  }
}

variable "time_zone" {
  description = "IANA time zone of the schedules."
  type        = string
  default     = "Asia/Bangkok"
  nullable    = false
}
