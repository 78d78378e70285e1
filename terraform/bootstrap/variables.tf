variable "github" {
  description = "The GitHub repository whose workflows may plan and deploy: owner/name, the owner's number (https://api.github.com/users/OWNER), the ref that must be built, and the environment that a job has to be in to deploy; give that one required reviewers. Null: none; Cloud Build deploys."
  type = object({
    environment = optional(string, "production")
    owner_id    = string
    ref         = optional(string, "refs/heads/main")
    repository  = string
  })
  default = null

  validation {
    condition     = var.github == null || try(can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github.repository)) && can(regex("^[0-9]+$", var.github.owner_id)), false)
    error_message = "github.repository must read owner/name, and github.owner_id be the owner's number."
  }

  validation {
    condition     = var.github == null || can(regex("^refs/(heads|tags)/[A-Za-z0-9._/-]+$", var.github.ref))
    error_message = "github.ref must be one full ref such as refs/heads/main."
  }

  validation {
    condition     = var.github == null || can(regex("^[A-Za-z0-9._-]+$", var.github.environment))
    error_message = "github.environment must be the name of one environment: letters, digits, dots, hyphens, underscores."
  }
}

variable "name" {
  description = "The beginning of all names; the environment's module has the same."
  type        = string
  default     = "daybook"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 20 lower-case letters, digits and hyphens and begin with a letter."
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
  description = "Where the state is kept."
  type        = string
  default     = "asia-southeast1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region must be a region such as asia-southeast1, not a zone."
  }
}
