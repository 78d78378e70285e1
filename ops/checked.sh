#!/bin/sh
# Fails unless the trigger daybook-check has passed a commit.
#
#     ops/checked.sh PROJECT REGION COMMIT
#
# Needs roles/cloudbuild.builds.viewer.
set -eu
project=${1:?usage: ops/checked.sh PROJECT REGION COMMIT}
region=${2:?usage: ops/checked.sh PROJECT REGION COMMIT}
commit=${3:?usage: ops/checked.sh PROJECT REGION COMMIT}

# By the trigger's id, which only Cloud Build writes. A name could be given to any build as one
# of its substitutions.
trigger=$(gcloud builds triggers describe daybook-check --project="$project" --region="$region" \
  --format='value(id)')
if [ -z "$trigger" ]; then
  echo "There is no trigger daybook-check in $region: see deploy.md." >&2
  exit 1
fi
build=$(gcloud builds list --project="$project" --region="$region" --limit=1 --format='value(id)' \
  --filter="buildTriggerId=\"$trigger\" AND substitutions.COMMIT_SHA=\"$commit\" AND status=\"SUCCESS\"")
if [ -z "$build" ]; then
  echo "Commit $commit has no successful build of the trigger daybook-check in $region, so it is" \
    "not applied. If the checks are still running, wait for them and retry this build." >&2
  exit 1
fi
echo "checked by build $build"
