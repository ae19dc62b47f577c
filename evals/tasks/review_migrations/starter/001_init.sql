CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL, code varchar(20), n int);
CREATE UNIQUE INDEX users_email ON users (lower(email));
