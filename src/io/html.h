/* Parts of self-contained HTML pages. What is ours goes in by buffer_format. */
#ifndef IO_HTML_H
#define IO_HTML_H

#include "io/buffer.h"

/* Text that is not ours: what HTML or an attribute's quotes would take for its own is escaped, and what does not print as in base/text.h. */
void html_text(struct buffer *page, const char *text);

/* <tag>text</tag>, and a line's end. */
void html_element(struct buffer *page, const char *tag, const char *text);

/* "data:TYPE;base64,...", for an attribute; type "image/jpeg". */
void html_data_uri(struct buffer *page, const char *type, const struct buffer *file);

#endif
