# The full image has the compilers that better-sqlite3 needs if there is no prebuilt binary.
FROM node:24-bookworm AS build
WORKDIR /app
# Packages first, so that a change of code does not install them again.
COPY package.json package-lock.json .npmrc ./
RUN npm ci
# Only the sources of the product, so that a change of docs, tests or deploy/ does not build it again.
COPY tsconfig.json build.js ./
COPY migrations migrations
COPY plugins plugins
COPY routes routes
COPY src src
COPY web web
# Files that only a build or a debugger reads stay out of the image; those of better-sqlite3 have 45 MB.
RUN npm run build && npm prune --omit=dev \
 && cd node_modules/better-sqlite3 && rm -rf deps src && mv build/Release/better_sqlite3.node /tmp/ && rm -rf build \
 && mkdir -p build/Release && mv /tmp/better_sqlite3.node build/Release/ && cd /app \
 && find dist node_modules -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '.tsbuildinfo' -o -name '.build.json' \) -delete \
 && chmod 755 dist/src/cli.js

# The same distribution as above, because native modules are linked against its libc.
FROM node:24-bookworm-slim
# Off by default: ffmpeg more than doubles the image, and the server probes and packages without it.
ARG WITH_FFMPEG=0
RUN if [ "$WITH_FFMPEG" = 1 ]; then \
      apt-get update && apt-get install -y --no-install-recommends ffmpeg && rm -rf /var/lib/apt/lists/*; \
    fi
ENV NODE_ENV=production ENVIRONMENT=production HOST=0.0.0.0 PORT=8000 DATA_DIR=/data UPLOAD_DIR=/data/uploads
WORKDIR /app
# Owned by root, so that the server cannot change its own code.
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
RUN ln -s /app/dist/src/cli.js /usr/local/bin/playgate
# Before VOLUME: a new named volume takes this owner, and Docker drops changes made after the declaration.
RUN mkdir -p /data/uploads && chown -R node:node /data
VOLUME /data
USER node
EXPOSE 8000
# Liveness, not readiness: a restart does not bring back a database that is down. The slim image has no curl.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:'+(process.env.PORT||8000)+'/livez').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
# Without npm, which would receive Docker's SIGTERM in place of the server.
CMD ["node", "dist/bundle/server.js"]
