"""What Google's reasons for a refusal mean: which are transient, and what to do about the others.

Drive's own reasons: https://developers.google.com/workspace/drive/api/guides/handle-errors
Those of all Google APIs: https://developers.google.com/youtube/v3/docs/core_errors
Newer ones, in capitals: https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto
"""

from __future__ import annotations

NO_STORAGE_ADVICE = (
    "A service account owns no storage: move the folder to a shared drive and add the account "
    "there as Contributor or Content manager, or set DAYBOOK_DRIVE_SUBJECT to a user to act for"
)
NO_FOLDER_ADVICE = (
    "Check the folder ID in DAYBOOK_DESTINATION, and that the account is a member of the shared "
    "drive that contains the folder"
)
NO_ACCESS_ADVICE = "Add the account to the shared drive as Contributor or Content manager"
CREDENTIALS_ADVICE = (
    "Check that the function runs as a service account with the Drive scope and, when "
    "DAYBOOK_DRIVE_SUBJECT is set, that the account is token creator on itself and has "
    "domain-wide delegation for the Drive scope"
)
_SCOPE = (
    "The access token lacks the scope https://www.googleapis.com/auth/drive: on a laptop, log in "
    "with `gcloud auth application-default login` and this scope; with DAYBOOK_DRIVE_SUBJECT, "
    "allow it in the domain-wide delegation; on a virtual machine, among its access scopes"
)
_API_DISABLED = "Enable the Google Drive API in the project"
_DAILY_QUOTA = (
    "Raise the project's daily quota of the Drive API; it starts again at midnight Pacific time"
)
_FULL_STORAGE = (
    "The storage or a quota is used up: free or buy storage for the organisation or the user "
    "who owns the folder, and look at the project's quotas of the Drive API"
)
_FULL_DRIVE = "The shared drive is full: archive or delete files in it"
_FULL_FOLDER = "The folder is full: set DAYBOOK_DESTINATION to a new one"
_NO_FOLDER = "The ID in DAYBOOK_DESTINATION is not that of a folder: set drive://FOLDER_ID"
_MEMBERSHIP = (
    "The organisation lets only members of the shared drive work in it: add the account as a "
    "member of the drive itself, as Contributor or Content manager"
)
_DEPTH = "The folder is nested too deeply: set DAYBOOK_DESTINATION to one nearer to the drive's top"
_POLICY = (
    "A policy of the organisation forbids it: ask the Google Workspace administrator to allow "
    "Drive, its API and access by this account, or choose a folder that the policy allows"
)
_ACCOUNT = "The account is disabled, deleted or unverified: enable it, or run as another one"
_USER = (
    "The user in DAYBOOK_DRIVE_SUBJECT may not use Drive: give the user a licence and access, or "
    "act for another one"
)
_APPLICATION = (
    "The application may not use this file or folder: run with the full Drive scope, or share "
    "the folder with the account"
)
_PROJECT = (
    "The Google Cloud project is suspended, deleted or without billing, or the account may not "
    "use it: look at its state in the console"
)
_TOO_LARGE = "The request was too large: lower DAYBOOK_MULTIPART_LIMIT_BYTES (at most 5242880)"
_DOWNLOAD = "Drive does not hand out the file's content: open it in Drive, which says why"
_READ_ONLY = "The file or folder is locked against changes: unlock it in Drive"
_DAYBOOK = "Drive did not understand the request: report it, with this message, as a fault"

PASSING = frozenset(
    {
        "aborted",
        "backendError",
        "backendNotConnected",
        "badGateway",
        "concurrentLimitExceeded",
        "gatewayTimeout",
        "internalError",
        "limitExceeded",
        "notReady",
        "rateLimitExceeded",
        "responsePreparationFailure",
        "servingLimitExceeded",
        "sharingRateLimitExceeded",
        "transientError",
        "unknownError",
        "urlLeaseLimitExceeded",
        "userRateLimitExceeded",
        "variableTermLimitExceeded",
        "ABORTED",
        "INTERNAL",
        "RATE_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
    }
)
"""Reasons of a 403 after which the same request may succeed soon."""

ADVICE = {
    # Storage and limits
    "storageQuotaExceeded": (
        f"{NO_STORAGE_ADVICE}. If it acts for a user already, that user's storage is full"
    ),
    "quotaExceeded": _FULL_STORAGE,
    "RESOURCE_QUOTA_EXCEEDED": _FULL_STORAGE,
    "dailyLimitExceeded": _DAILY_QUOTA,
    "variableTermExpiredDailyExceeded": _DAILY_QUOTA,
    "teamDriveFileLimitExceeded": _FULL_DRIVE,
    "activeItemCreationLimitExceeded": (
        "The account that creates the files owns too many items: delete some of them, or deliver "
        "to a shared drive"
    ),
    "numChildrenInNonRootLimitExceeded": _FULL_FOLDER,
    "uploadTooLarge": _TOO_LARGE,
    "backendRequestTooLarge": _TOO_LARGE,
    # The folder
    "notFound": f"It is gone, or this account cannot see it. {NO_FOLDER_ADVICE}",
    "fileNotFound": f"It is gone, or this account cannot see it. {NO_FOLDER_ADVICE}",
    "parentNotAFolder": _NO_FOLDER,
    "invalidParent": _NO_FOLDER,
    "teamDrivesParentLimit": _NO_FOLDER,
    "teamDriveHierarchyTooDeep": _DEPTH,
    "myDriveHierarchyDepthLimitExceeded": _DEPTH,
    "fileNeverWritable": _READ_ONLY,
    "contentRestricted": _READ_ONLY,
    # Access
    "insufficientFilePermissions": NO_ACCESS_ADVICE,
    "insufficientParentPermissions": NO_ACCESS_ADVICE,
    "cannotAddParent": NO_ACCESS_ADVICE,
    "forbidden": NO_ACCESS_ADVICE,
    "permissionDenied": NO_ACCESS_ADVICE,
    "PERMISSION_DENIED": NO_ACCESS_ADVICE,
    "teamDriveMembershipRequired": _MEMBERSHIP,
    "fileOwnerNotMemberOfTeamDrive": _MEMBERSHIP,
    "fileOwnerNotMemberOfWriterDomain": _MEMBERSHIP,
    "teamDriveTeamMembersOnlyRestriction": _MEMBERSHIP,
    "teamDriveDomainUsersOnlyRestriction": (
        "The shared drive admits only users of its organisation: let it admit others, or act for "
        "a user of it (DAYBOOK_DRIVE_SUBJECT)"
    ),
    "fileWriterTeamDriveMoveInDisabled": (
        "The shared drive lets only managers add files: add the account as Content manager"
    ),
    "domainPolicy": _POLICY,
    "domainCannotUseApis": _POLICY,
    "shareOutNotPermitted": _POLICY,
    "publishOutNotPermitted": _POLICY,
    "SECURITY_POLICY_VIOLATED": _POLICY,
    "ORG_RESTRICTION_VIOLATION": _POLICY,
    "LOCATION_POLICY_VIOLATED": _POLICY,
    "userAccess": _USER,
    "appNotAuthorizedToFile": _APPLICATION,
    "appAccess": _APPLICATION,
    "downloadServiceForbidden": _DOWNLOAD,
    "downloadQuotaExceeded": _DOWNLOAD,
    "cannotDownloadFile": _DOWNLOAD,
    "cannotDownloadAbusiveFile": _DOWNLOAD,
    "fileNotDownloadable": _DOWNLOAD,
    # Credentials
    "authError": CREDENTIALS_ADVICE,
    "unknownAuth": CREDENTIALS_ADVICE,
    "dailyLimitExceededUnreg": CREDENTIALS_ADVICE,
    "rateLimitExceededUnreg": CREDENTIALS_ADVICE,
    "userRateLimitExceededUnreg": CREDENTIALS_ADVICE,
    "insufficientAudience": CREDENTIALS_ADVICE,
    "insufficientAuthorizedParty": CREDENTIALS_ADVICE,
    "UNAUTHENTICATED": CREDENTIALS_ADVICE,
    "CREDENTIALS_MISSING": CREDENTIALS_ADVICE,
    "ACCESS_TOKEN_EXPIRED": CREDENTIALS_ADVICE,
    "ACCESS_TOKEN_TYPE_UNSUPPORTED": CREDENTIALS_ADVICE,
    "insufficientPermissions": _SCOPE,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": _SCOPE,
    "accountDeleted": _ACCOUNT,
    "accountDisabled": _ACCOUNT,
    "accountUnverified": _ACCOUNT,
    "ACCOUNT_STATE_INVALID": _ACCOUNT,
    # The project
    "accessNotConfigured": _API_DISABLED,
    "SERVICE_DISABLED": _API_DISABLED,
    "BILLING_DISABLED": _PROJECT,
    "CONSUMER_INVALID": _PROJECT,
    "CONSUMER_SUSPENDED": _PROJECT,
    "USER_PROJECT_DENIED": _PROJECT,
    # The request
    "badRequest": _DAYBOOK,
    "invalid": _DAYBOOK,
    "invalidParameter": _DAYBOOK,
    "parseError": _DAYBOOK,
    "fieldNotWritable": _DAYBOOK,
    "sslRequired": "DAYBOOK_DRIVE_ENDPOINT must begin with https://",
}
"""What to do about a reason that is not transient."""
