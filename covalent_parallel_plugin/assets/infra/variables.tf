# Part of covalent-parallel-plugin: what can be chosen.

variable "project_id" {
  type        = string
  description = "Google Cloud project that runs and pays"
  # Without a default Terraform would ask, and where nobody sees the question it would wait for ever
  default = ""

  validation {
    condition     = can(regex("^([a-z0-9.-]+:)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.project_id))
    error_message = "project_id is missing or no project id: use the id, not the name, such as my-project-123."
  }
}

variable "region" {
  type        = string
  description = "region of the jobs, the bucket and the images"
  default     = "us-east1"

  validation {
    condition = (
      can(regex("^[a-z]+(-[a-z]+)*-?[a-z]*[0-9]*$", var.region))
      && !can(regex("^[a-z]+-[a-z]+[0-9]+-(ai[0-9]+)?[a-z]$", var.region))
    )
    error_message = "region is no region: use one such as us-east1 or europe-west4, not a zone."
  }
}

variable "name" {
  type        = string
  description = "what the names of all that is made begin with"
  default     = "covalent"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$", var.name))
    error_message = "name must be 1 to 20 of a-z, 0-9 and -, a letter first and no - last."
  }
}

variable "bucket_name" {
  type        = string
  description = "bucket that holds calls and outcomes on their way; empty: NAME-PROJECT"
  default     = ""

  validation {
    condition = var.bucket_name == "" || (
      can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.bucket_name))
      && !can(regex("[^.]{64}", var.bucket_name))
      && !can(regex("^[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$", var.bucket_name))
      && !can(regex("[.][.]|google|^goog", var.bucket_name))
    )
    error_message = "bucket_name is no legal bucket name: use 3 to 63 lowercase letters, digits, '-', '_' and '.', with a letter or digit at both ends and without 'google'."
  }
}

variable "create_bucket" {
  type        = bool
  description = "make the bucket; false: bucket_name exists already, and only access to it is given"
  default     = true
}

variable "object_days" {
  type        = number
  description = "days after which the objects of Covalent's dispatches are deleted, if nobody did before"
  default     = 7

  validation {
    condition     = var.object_days >= 1 && var.object_days <= 3650 && floor(var.object_days) == var.object_days
    error_message = "object_days must be a whole number from 1 to 3650."
  }
}

variable "cache_days" {
  type        = number
  description = "days after which values in the cache are deleted (option cache)"
  default     = 90

  validation {
    condition     = var.cache_days >= 1 && var.cache_days <= 3650 && floor(var.cache_days) == var.cache_days
    error_message = "cache_days must be a whole number from 1 to 3650."
  }
}

variable "soft_delete_days" {
  type        = number
  description = "days that deleted objects can be brought back, and are paid for: 0, or 7 to 90"
  default     = 0

  validation {
    condition = (
      (var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90))
      && floor(var.soft_delete_days) == var.soft_delete_days
    )
    error_message = "soft_delete_days must be 0, or a whole number from 7 to 90."
  }
}

variable "force_destroy" {
  type        = bool
  description = "delete the bucket's objects with the bucket; false: a bucket that is not empty cannot be taken down"
  default     = true
}

variable "dispatcher_members" {
  type        = list(string)
  description = "who runs Covalent servers: user:, group: or serviceAccount: and an address"
  default     = []

  validation {
    condition = alltrue([
      for member in var.dispatcher_members :
      can(regex("^((user|group|serviceAccount):[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+|principal(Set)?://[^[:space:]]+)$", member))
    ])
    error_message = "dispatcher_members must be such as user:ADDRESS, group:ADDRESS or serviceAccount:ADDRESS."
  }
}

variable "image_publishers" {
  type        = list(string)
  description = "who may push images to the repository: user:, group: or serviceAccount: and an address"
  default     = []

  validation {
    condition = alltrue([
      for member in var.image_publishers :
      can(regex("^((user|group|serviceAccount):[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+|principal(Set)?://[^[:space:]]+)$", member))
    ])
    error_message = "image_publishers must be such as user:ADDRESS, group:ADDRESS or serviceAccount:ADDRESS."
  }
}

variable "secrets" {
  type        = list(string)
  description = "secrets of Secret Manager that jobs may read: SECRET or projects/PROJECT/secrets/SECRET"
  default     = []

  validation {
    condition = alltrue([
      for secret in var.secrets : can(regex("^(projects/[a-z0-9.:-]+/secrets/)?[A-Za-z0-9_-]{1,255}$", secret))
    ])
    error_message = "secrets must be such as SECRET or projects/PROJECT/secrets/SECRET, without a version."
  }
}

variable "create_network" {
  type        = bool
  description = "make a network whose machines have no addresses on the internet, and let jobs run in it"
  default     = false
}

variable "subnetwork_range" {
  type        = string
  description = "addresses of the network's machines"
  default     = "10.10.0.0/20"

  validation {
    condition     = can(cidrnetmask(var.subnetwork_range)) && can(regex("/([89]|[12][0-9])$", var.subnetwork_range))
    error_message = "subnetwork_range must be a range of IPv4 addresses from /8 to /29, such as 10.10.0.0/20."
  }
}

variable "nat" {
  type        = bool
  description = "let the network's machines reach the internet (pip, Docker Hub) through Cloud NAT"
  default     = false
}

variable "image" {
  type        = string
  description = "NAME:TAG in the repository that jobs are to run in; empty: the stock image"
  default     = ""

  validation {
    condition     = var.image == "" || can(regex("^[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$", var.image))
    error_message = "image must be NAME or NAME:TAG, without the repository, such as covalent-parallel:latest."
  }
}
