-- A database of SqlStore from before there were migrations, with one account and one session.
CREATE TABLE authkit_counters (
    name text NOT NULL COLLATE pg_catalog."C",
    value bigint NOT NULL,
    expires_at double precision NOT NULL
);
CREATE TABLE authkit_links (
    id text NOT NULL COLLATE pg_catalog."C",
    purpose text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    user_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    email text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    target text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    epoch bigint DEFAULT 0 NOT NULL,
    created_at double precision DEFAULT 0.0 NOT NULL,
    expires_at double precision DEFAULT 0.0 NOT NULL,
    purge_at double precision
);
CREATE TABLE authkit_sessions (
    id text NOT NULL COLLATE pg_catalog."C",
    user_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    generation bigint DEFAULT 0 NOT NULL,
    confirmed bigint DEFAULT 0 NOT NULL,
    rotated_at double precision DEFAULT 0.0 NOT NULL,
    confirmed_at double precision,
    created_at double precision DEFAULT 0.0 NOT NULL,
    last_seen_at double precision DEFAULT 0.0 NOT NULL,
    idle_expires_at double precision DEFAULT 0.0 NOT NULL,
    expires_at double precision DEFAULT 0.0 NOT NULL,
    remember boolean DEFAULT false NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    methods text[] DEFAULT ARRAY[]::text[] NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    ip text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    closed_at double precision,
    close_reason text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    purge_at double precision
);
CREATE TABLE authkit_tickets (
    id text NOT NULL COLLATE pg_catalog."C",
    user_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    email text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    challenge text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    methods text[] DEFAULT ARRAY[]::text[] NOT NULL,
    remember boolean DEFAULT false NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    email_key text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    expires_at double precision DEFAULT 0.0 NOT NULL,
    purge_at double precision
);
CREATE TABLE authkit_users (
    id text NOT NULL COLLATE pg_catalog."C",
    firstname text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    lastname text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    username text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    username_key text COLLATE pg_catalog."C",
    email text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    email_key text COLLATE pg_catalog."C",
    password_hash text COLLATE pg_catalog."C",
    bio text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    is_verified boolean DEFAULT false NOT NULL,
    is_admin boolean DEFAULT false NOT NULL,
    created_at double precision DEFAULT 0.0 NOT NULL,
    last_login_at double precision,
    disabled_at double precision,
    deleted_at double precision,
    epoch bigint DEFAULT 0 NOT NULL,
    epoch_at double precision,
    spared text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    purge_at double precision
);
INSERT INTO authkit_sessions VALUES ('fbdbab4d83385117554e9578d4dc1422', '207cbf0efcf03c062cb1ef17805e3497', 0, 0, 1800000000, NULL, 1800000000, 1800000000, 1800604800, 1807776000, false, 0, '{pwd}', 'Mozilla/5.0 (X11; Linux) Firefox/150.0', '127.0.0.1', NULL, '', 1800608410);
INSERT INTO authkit_users VALUES ('207cbf0efcf03c062cb1ef17805e3497', 'Ada', 'Lovelace', 'ada', 'ada', 'ada@example.test', 'ada@example.test', '$bcrypt-sha256$v=2,t=2b,r=4$cmsmj8CLDQrMRu22XiWQie$gkAhi3Tyaz4lCiNA3yP41otMhkcEKYC', '', true, false, 1800000000, 1800000000, NULL, NULL, 0, NULL, '', NULL);
ALTER TABLE ONLY authkit_counters
    ADD CONSTRAINT pk__authkit_counters PRIMARY KEY (name);
ALTER TABLE ONLY authkit_links
    ADD CONSTRAINT pk__authkit_links PRIMARY KEY (id);
ALTER TABLE ONLY authkit_sessions
    ADD CONSTRAINT pk__authkit_sessions PRIMARY KEY (id);
ALTER TABLE ONLY authkit_tickets
    ADD CONSTRAINT pk__authkit_tickets PRIMARY KEY (id);
ALTER TABLE ONLY authkit_users
    ADD CONSTRAINT pk__authkit_users PRIMARY KEY (id);
ALTER TABLE ONLY authkit_users
    ADD CONSTRAINT uq__authkit_users__email_key UNIQUE (email_key);
ALTER TABLE ONLY authkit_users
    ADD CONSTRAINT uq__authkit_users__username_key UNIQUE (username_key);
CREATE INDEX ix__authkit_counters__expires_at ON authkit_counters USING btree (expires_at);
CREATE INDEX ix__authkit_links__purge_at ON authkit_links USING btree (purge_at);
CREATE INDEX ix__authkit_links__user_id__purpose ON authkit_links USING btree (user_id, purpose);
CREATE INDEX ix__authkit_sessions__closed_at ON authkit_sessions USING btree (closed_at);
CREATE INDEX ix__authkit_sessions__purge_at ON authkit_sessions USING btree (purge_at);
CREATE INDEX ix__authkit_sessions__user_id__created_at ON authkit_sessions USING btree (user_id, created_at);
CREATE INDEX ix__authkit_tickets__purge_at ON authkit_tickets USING btree (purge_at);
CREATE INDEX ix__authkit_users__created_at ON authkit_users USING btree (created_at);
CREATE INDEX ix__authkit_users__epoch_at ON authkit_users USING btree (epoch_at);
CREATE INDEX ix__authkit_users__purge_at ON authkit_users USING btree (purge_at);
