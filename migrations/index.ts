import type { Migration } from 'kysely'
import * as accountsMediaViews from './001-accounts-media-views.js'
import * as courses from './002-courses.js'
import * as protection from './003-protection.js'
import * as jobAttempts from './004-job-attempts.js'
import * as mux from './005-mux.js'
import * as sessions from './006-sessions.js'
import * as deletions from './007-deletions.js'
import * as counts from './008-counts.js'
import * as tallies from './009-tallies.js'
import * as serverProcesses from './010-server-processes.js'
import * as searchText from './011-search-text.js'
import * as packageIndexes from './012-package-indexes.js'
import * as tokenViews from './013-token-views.js'
import * as refreshFamilies from './014-refresh-families.js'
import * as fairJobs from './016-fair-jobs.js'
import * as tracks from './017-tracks.js'
import * as uploads from './018-uploads.js'
import * as idempotency from './019-idempotency.js'
import * as sharedFiles from './020-shared-files.js'
import * as uploadGrants from './021-upload-grants.js'
import * as renditions from './022-renditions.js'
import * as captions from './023-captions.js'
import * as apiKeys from './025-api-keys.js'
import * as resetLinks from './026-reset-links.js'

/** All migrations by name, in order. The code of a released migration never changes. Number 015 stays unused. */
export const migrations: Record<string, Migration> = {
  '001-accounts-media-views': accountsMediaViews,
  '002-courses': courses,
  '003-protection': protection,
  '004-job-attempts': jobAttempts,
  '005-mux': mux,
  '006-sessions': sessions,
  '007-deletions': deletions,
  '008-counts': counts,
  '009-tallies': tallies,
  '010-server-processes': serverProcesses,
  '011-search-text': searchText,
  '012-package-indexes': packageIndexes,
  '013-token-views': tokenViews,
  '014-refresh-families': refreshFamilies,
  '016-fair-jobs': fairJobs,
  '017-tracks': tracks,
  '018-uploads': uploads,
  '019-idempotency': idempotency,
  '020-shared-files': sharedFiles,
  '021-upload-grants': uploadGrants,
  '022-renditions': renditions,
  '023-captions': captions,
  '025-api-keys': apiKeys,
  '026-reset-links': resetLinks
}
