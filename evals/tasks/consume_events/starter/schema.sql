CREATE TABLE stock (product text PRIMARY KEY, n int NOT NULL CHECK (n >= 0));
