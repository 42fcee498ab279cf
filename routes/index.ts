import type { FastifyPluginAsync } from 'fastify'
import admission from '../plugins/admission.js'
import textReply from '../plugins/text-reply.js'
import viewCount from '../plugins/view-count.js'
import type { Services } from '../src/services.js'
import accounts from './accounts.js'
import apiKeys from './api-keys.js'
import captions from './captions.js'
import chapters from './chapters.js'
import courses from './courses.js'
import embed from './embed.js'
import grantedUploads from './granted-uploads.js'
import hls from './hls.js'
import lectures from './lectures.js'
import media from './media.js'
import originals from './originals.js'
import playerFiles from './player-files.js'
import preflight from './preflight.js'
import passwordResets from './password-resets.js'
import service from './service.js'
import stream from './stream.js'
import subscriptions from './subscriptions.js'
import tus from './tus.js'
import uploadGrants from './upload-grants.js'
import uploads from './uploads.js'
import users from './users.js'
import views from './views.js'
import webhooks from './webhooks.js'

/** Every route of the API. The `Options` of each file name the services that it needs. */
const routes: FastifyPluginAsync<{ services: Services }> = async (app, { services }) => {
  await app.register(admission, services)
  await app.register(textReply)
  await app.register(viewCount, services)
  await app.register(service, services)
  await app.register(accounts, services)
  await app.register(users, services)
  await app.register(passwordResets, services)
  await app.register(apiKeys, services)
  await app.register(media, services)
  await app.register(preflight, services)
  await app.register(uploads, services)
  await app.register(tus, services)
  await app.register(uploadGrants, services)
  await app.register(grantedUploads, services)
  await app.register(stream, services)
  await app.register(originals, services)
  await app.register(hls, services)
  await app.register(captions, services)
  await app.register(chapters, services)
  await app.register(playerFiles, services)
  await app.register(embed, services)
  await app.register(views, services)
  await app.register(courses, services)
  await app.register(lectures, services)
  await app.register(subscriptions, services)
  await app.register(webhooks, services)
}

export default routes
