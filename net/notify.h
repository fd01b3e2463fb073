/* net/notify.h: tells the service manager how we are (systemd's sd_notify(3) protocol). Any thread. */
#ifndef GRID_NET_NOTIFY_H
#define GRID_NET_NOTIFY_H

/* Sends e.g. "READY=1" to $NOTIFY_SOCKET; nothing where there is none. */
void notify_service_manager(const char *state);

#endif
