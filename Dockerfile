# One image for every role: `docker run freshet <role>`. Kafka and Redis come from elsewhere; see docker-compose.yml.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
RUN npm run build && npm prune --omit=dev

FROM node:20-bookworm-slim
ENV NODE_ENV=production \
    FRESHET_STATE_DIR=/var/lib/freshet/state \
    FRESHET_ARTIFACTS_DIR=/var/lib/freshet/artifacts \
    FRESHET_METRICS_HOST=0.0.0.0
WORKDIR /app
# Volumes mounted here take over the owner of the folder, so it has to be there and belong to the user.
RUN mkdir -p /var/lib/freshet/state /var/lib/freshet/artifacts && chown -R node:node /var/lib/freshet
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json ./
COPY bin bin
COPY config config
COPY scripts scripts
USER node
EXPOSE 8080 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.FRESHET_METRICS_PORT || 9464}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/freshet.js"]
CMD ["all"]
