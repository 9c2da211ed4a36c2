/*
 * none.c - a program that imports nothing: hostmem-run cannot be put in front of it.
 */
int start(void);
int start(void) { return 0; }
