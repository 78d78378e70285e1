# One folder serves several environments, so a state could be planned with the variables of
# another, which would replace everything in it. So the state keeps the environment and the
# project that it was first applied for, and a plan with others fails.
resource "terraform_data" "environment" {
  input = {
    environment = var.environment
    project_id  = var.project_id
  }

  lifecycle {
    ignore_changes = [input]
  }
}

output "environment" {
  description = "The environment that the state is of."
  value       = terraform_data.environment.output.environment

  precondition {
    condition     = terraform_data.environment.output == { environment = var.environment, project_id = var.project_id }
    error_message = "The state is of ${terraform_data.environment.output.environment} in ${terraform_data.environment.output.project_id}, and the variables are of ${var.environment} in ${var.project_id}: give the -var-file of the one, or terraform init -reconfigure with the -backend-config of the other."
  }
}
