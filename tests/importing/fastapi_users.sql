-- As fastapi-users 15.0.5 with fastapi-users-db-sqlalchemy 7.0.0 made it in SQLite, by its own
-- UserManager; the ids are those that it drew. The password of all is: motörhead für immer
CREATE TABLE "user" (
	id CHAR(36) NOT NULL,
	email VARCHAR(320) NOT NULL,
	hashed_password VARCHAR(1024) NOT NULL,
	is_active BOOLEAN NOT NULL,
	is_superuser BOOLEAN NOT NULL,
	is_verified BOOLEAN NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "user" VALUES('d6b05bda-0a87-41f6-82b6-8b683993b0ac','ada@example.com','$argon2id$v=19$m=65536,t=3,p=4$xp9PM9c6ZvyFF7fOEiWADA$4FKRzjYSfImcHPhxmIjpUQaylvcZfslYMzf+5m1mFiE',1,0,1);
INSERT INTO "user" VALUES('9d4ca89e-4465-4170-8ae8-084387a5a4ef','grace@example.com','$argon2id$v=19$m=65536,t=3,p=4$ymthl3E9brciSTH/mLlF8g$VOFlGzl0W9AIOl2fCsDW6x1YugR80xV+9wasSl15CUg',1,1,1);
INSERT INTO "user" VALUES('42d49610-f234-47f6-9c78-0e99df09b743','eve@example.com','$argon2id$v=19$m=65536,t=3,p=4$kpeEoWj7/UTgcKpWwdbl8A$/YzI2+D6WmVeFAUq8mxgw1kr+cJ8WYT58vGL8aA6u54',0,0,0);
INSERT INTO "user" VALUES('f73dff75-471d-4b1f-841e-4fb35c5f3a28','uwe@example.com','$argon2id$v=19$m=65536,t=3,p=4$rrKryrlpUV4dKBaQ44ss1w$ozd29bULh7A/wEegUwd6+Vck6rf9l/esVpdL2Yee2GQ',1,0,0);
CREATE UNIQUE INDEX ix_user_email ON "user" (email);
