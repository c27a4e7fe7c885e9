'use strict';
const cds = require('@sap/cds');

// Orders are numbered where the client does not, change with time, and are completed once.
module.exports = cds.service.impl(function () {
  let numbers = 0;
  let last = 0;
  const now = () => {
    last = Math.max(last + 1, Number(new Date().toISOString().replace(/\D/g, '').slice(0, 14)));
    return String(last);
  };
  this.before('CREATE', 'A_ProductionOrder_2', (req) => {
    numbers += 1;
    req.data.ManufacturingOrder ||= String(numbers).padStart(12, '0');
    req.data.LastChangeDateTime = now();
    [...(req.data.to_ProductionOrderOperation || []), ...(req.data.to_ProductionOrderComponent || [])].forEach((below) => {
      below.ManufacturingOrder = req.data.ManufacturingOrder;
    });
  });
  this.before('UPDATE', 'A_ProductionOrder_2', (req) => { req.data.LastChangeDateTime = now(); });
  this.on('TechlyCmpltOrder', async (req) => {
    const { A_ProductionOrder_2: Order } = this.entities;
    const { ManufacturingOrder } = req.data;
    const order = await SELECT.one.from(Order).where({ ManufacturingOrder });
    if (!order) return req.reject({ code: 'CO/017', status: 400, message: 'Order does not exist' });
    if (order.OrderIsTechnicallyCompleted) return req.reject({ code: 'CO/688', status: 400, message: 'The order has this status already' });
    await UPDATE(Order).set({ OrderIsTechnicallyCompleted: 'X', LastChangeDateTime: now() }).where({ ManufacturingOrder });
    return SELECT.one.from(Order).where({ ManufacturingOrder });
  });
});
