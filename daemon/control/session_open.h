/*
 * session_open.h - from an OPEN packet to OPENED: dataset, access, quota, stream.
 *
 * Threads: the loop.
 */
#ifndef BD_CONTROL_SESSION_OPEN_H
#define BD_CONTROL_SESSION_OPEN_H

#include "daemon/control/session.h"

/* A TEXT packet: a piece of the dataset file. */
void bd_control_session_receive_text(struct bd_control_session *session, const Batchd__Text *text);

/* An OPEN packet, which becomes the session's. The session is OPENING, or was told ERROR and ends. */
void bd_control_session_receive_open(struct bd_control_session *session, Batchd__Open *open_take);

/* Gives up whatever has been opened or is being opened. */
void bd_control_session_drop_stream(struct bd_control_session *session);

#endif
