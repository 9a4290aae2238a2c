#!/usr/bin/env bash
# Serves the sample app on http://localhost:$PORT (8000). All it keeps is below .demo: secrets,
# database and mails. Settings of yours, such as AUTHKIT_ACCESS_TOKEN_LIFETIME=10, are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-8000}
url=http://localhost:$port

if ! [[ $port =~ ^[0-9]{1,5}$ ]]; then
  echo "PORT=$port is not a port: PORT=8001 make demo" >&2
  exit 1
fi
# Tried by name: a browser may ask ::1 before 127.0.0.1, and would find another server there.
if (: <"/dev/tcp/localhost/$port") 2>/dev/null; then
  echo "Port $port is in use. Stop what runs there, or choose another: PORT=$((port + 1)) make demo" >&2
  exit 1
fi

umask 077 # secrets, mails with live links, and a database
mkdir -p .demo
if [ ! -s .demo/env ]; then
  .venv/bin/authkit-asgi secret >.demo/env.new
  mv .demo/env.new .demo/env
fi
set -a
. .demo/env
AUTHKIT_BASE_URL=$url
AUTHKIT_DEV_MODE=true
AUTHKIT_DATABASE_URL=sqlite:///$PWD/.demo/authkit.db
AUTHKIT_MAIL_URL=file://$PWD/.demo/mail
set +a

cat <<EOF

  The sample app   $url
  Its mails        $url/dev/mailbox   (files in .demo/mail)
  To stop          Ctrl+C
  To start afresh  rm -r .demo

EOF
exec .venv/bin/uvicorn sample_app.main:app --host 127.0.0.1 --port "$port" \
  --no-proxy-headers --no-server-header --log-level warning
