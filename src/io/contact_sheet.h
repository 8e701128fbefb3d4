/* A page of small pictures in rows, in one HTML file that needs nothing else; light or dark as the reader's system. */
#ifndef IO_CONTACT_SHEET_H
#define IO_CONTACT_SHEET_H

#include "io/buffer.h"

/* In this order: the page, rows of cells, the end. Texts may hold anything. */
void sheet_begin(struct buffer *page, const char *title, const char *summary);
void sheet_row(struct buffer *page, const char *heading);
/* jpeg may be empty: the picture cannot be shown. caption and name, unless NULL, stand below it; marked: set off from the others. */
void sheet_cell(struct buffer *page, const struct buffer *jpeg, const char *name, const char *caption, bool marked);
void sheet_row_end(struct buffer *page, const char *note); /* a line under the row, or NULL */
void sheet_end(struct buffer *page);

#endif
