-- A database of SqliteStore from before there were migrations, with one account and one session.
BEGIN TRANSACTION;
CREATE TABLE authkit_counters
    (name TEXT PRIMARY KEY, value INTEGER, expires_at REAL) WITHOUT ROWID
;
INSERT INTO "authkit_counters" VALUES('limit:/login:email:b97222ea69dadf792baa97fa768ecb84',0,1800000900.0);
INSERT INTO "authkit_counters" VALUES('limit:/login:ip:12ca17b49af2289436f303e0166030a2',1,1800003600.0);
INSERT INTO "authkit_counters" VALUES('limit:/register:email:b97222ea69dadf792baa97fa768ecb84',1,1800003600.0);
INSERT INTO "authkit_counters" VALUES('limit:/register:ip:12ca17b49af2289436f303e0166030a2',1,1800003600.0);
INSERT INTO "authkit_counters" VALUES('limit:/user-verify:ip:12ca17b49af2289436f303e0166030a2',1,1800003600.0);
CREATE TABLE [links] ([id] TEXT PRIMARY KEY, [purpose] TEXT DEFAULT '', [user_id] TEXT DEFAULT '', [email] TEXT DEFAULT '', [target] TEXT DEFAULT '', [epoch] INTEGER DEFAULT 0, [created_at] REAL DEFAULT 0.0, [expires_at] REAL DEFAULT 0.0, [purge_at] REAL DEFAULT NULL) WITHOUT ROWID;
CREATE TABLE [sessions] ([id] TEXT PRIMARY KEY, [user_id] TEXT DEFAULT '', [generation] INTEGER DEFAULT 0, [confirmed] INTEGER DEFAULT 0, [rotated_at] REAL DEFAULT 0.0, [confirmed_at] REAL DEFAULT NULL, [created_at] REAL DEFAULT 0.0, [last_seen_at] REAL DEFAULT 0.0, [idle_expires_at] REAL DEFAULT 0.0, [expires_at] REAL DEFAULT 0.0, [remember] INTEGER DEFAULT 0, [epoch] INTEGER DEFAULT 0, [methods] TEXT DEFAULT '[]', [user_agent] TEXT DEFAULT '', [ip] TEXT DEFAULT '', [closed_at] REAL DEFAULT NULL, [close_reason] TEXT DEFAULT '', [purge_at] REAL DEFAULT NULL) WITHOUT ROWID;
INSERT INTO "sessions" VALUES('fbdbab4d83385117554e9578d4dc1422','207cbf0efcf03c062cb1ef17805e3497',0,0,1800000000.0,NULL,1800000000.0,1800000000.0,1800604800.0,1807776000.0,0,0,'["pwd"]','Mozilla/5.0 (X11; Linux) Firefox/150.0','127.0.0.1',NULL,'',1800608410.0);
CREATE TABLE [tickets] ([id] TEXT PRIMARY KEY, [user_id] TEXT DEFAULT '', [email] TEXT DEFAULT '', [challenge] TEXT DEFAULT '', [methods] TEXT DEFAULT '[]', [remember] INTEGER DEFAULT 0, [epoch] INTEGER DEFAULT 0, [email_key] TEXT DEFAULT '', [expires_at] REAL DEFAULT 0.0, [purge_at] REAL DEFAULT NULL) WITHOUT ROWID;
CREATE TABLE [users] ([id] TEXT PRIMARY KEY, [firstname] TEXT DEFAULT '', [lastname] TEXT DEFAULT '', [username] TEXT DEFAULT '', [username_key] TEXT DEFAULT NULL, [email] TEXT DEFAULT '', [email_key] TEXT DEFAULT NULL, [password_hash] TEXT DEFAULT NULL, [bio] TEXT DEFAULT '', [is_verified] INTEGER DEFAULT 0, [is_admin] INTEGER DEFAULT 0, [created_at] REAL DEFAULT 0.0, [last_login_at] REAL DEFAULT NULL, [disabled_at] REAL DEFAULT NULL, [deleted_at] REAL DEFAULT NULL, [epoch] INTEGER DEFAULT 0, [epoch_at] REAL DEFAULT NULL, [spared] TEXT DEFAULT '', [purge_at] REAL DEFAULT NULL) WITHOUT ROWID;
INSERT INTO "users" VALUES('207cbf0efcf03c062cb1ef17805e3497','Ada','Lovelace','ada','ada','ada@example.test','ada@example.test','$bcrypt-sha256$v=2,t=2b,r=4$cmsmj8CLDQrMRu22XiWQie$gkAhi3Tyaz4lCiNA3yP41otMhkcEKYC','',1,0,1800000000.0,1800000000.0,NULL,NULL,0,NULL,'',NULL);
CREATE INDEX [authkit_counters(expires_at)] ON authkit_counters (expires_at)
;
CREATE UNIQUE INDEX [users(email_key)] ON [users] ([email_key]);
CREATE UNIQUE INDEX [users(username_key)] ON [users] ([username_key]);
CREATE INDEX [users(epoch_at)] ON [users] ([epoch_at]);
CREATE INDEX [users(created_at)] ON [users] ([created_at]);
CREATE INDEX [users(purge_at)] ON [users] ([purge_at]);
CREATE INDEX [sessions(user_id,created_at)] ON [sessions] ([user_id], [created_at]);
CREATE INDEX [sessions(closed_at)] ON [sessions] ([closed_at]);
CREATE INDEX [sessions(purge_at)] ON [sessions] ([purge_at]);
CREATE INDEX [links(user_id,purpose)] ON [links] ([user_id], [purpose]);
CREATE INDEX [links(purge_at)] ON [links] ([purge_at]);
CREATE INDEX [tickets(purge_at)] ON [tickets] ([purge_at]);
COMMIT;
